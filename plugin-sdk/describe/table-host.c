/* SPDX-License-Identifier: MIT */
#include "table.h"

static const RagifyDescribedMember members_RagifyHost[] = {
  NUMBER (RagifyHost, struct_size, U32),
  NUMBER (RagifyHost, abi_major, U16),
  NUMBER (RagifyHost, abi_minor, U16),
  FUNCTION (RagifyHost, log, "[any]"),
  FUNCTION (RagifyHost, clock_us, "[any]"),
  FUNCTION (RagifyHost, wall_us, "[any]"),
  FUNCTION (RagifyHost, config_string, "[control][call]"),
  FUNCTION (RagifyHost, config_int, "[control][call]"),
  FUNCTION (RagifyHost, config_double, "[control][call]"),
  FUNCTION (RagifyHost, config_bool, "[control][call]"),
  FUNCTION (RagifyHost, config_duration, "[control][call]"),
  FUNCTION (RagifyHost, config_size, "[control][call]"),
  FUNCTION (RagifyHost, config_list, "[control][call]"),
  FUNCTION (RagifyHost, set_error, "[control]"),
  FUNCTION (RagifyHost, buffer_new, "[any]"),
  FUNCTION (RagifyHost, buffer_wrap, "[any]"),
  FUNCTION (RagifyHost, call_alloc, "[any]"),
  FUNCTION (RagifyHost, call_deadline_us, "[any]"),
  FUNCTION (RagifyHost, call_cancelled, "[any]"),
  FUNCTION (RagifyHost, call_on_cancel, "[any]"),
  FUNCTION (RagifyHost, call_emit, "[any]"),
  FUNCTION (RagifyHost, call_on_credit, "[any]"),
  FUNCTION (RagifyHost, call_done, "[any]"),
  FUNCTION (RagifyHost, call_fail, "[any]"),
  FUNCTION (RagifyHost, submit, "[any]"),
  FUNCTION (RagifyHost, stream_read, "[worker]"),
  FUNCTION (RagifyHost, get_extension, "[control][call]"),
};
STRUCT (RagifyHost, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyLoopExtension[] = {
  HEAD (RagifyLoopExtension),
  FUNCTION (RagifyLoopExtension, watch_new, "[loop]"),
  FUNCTION (RagifyLoopExtension, watch_set_events, "[loop]"),
  FUNCTION (RagifyLoopExtension, watch_remove, "[loop]"),
  FUNCTION (RagifyLoopExtension, timer_new, "[loop]"),
  FUNCTION (RagifyLoopExtension, timer_restart, "[loop]"),
  FUNCTION (RagifyLoopExtension, timer_remove, "[loop]"),
  FUNCTION (RagifyLoopExtension, invoke, "[any]"),
};
STRUCT (RagifyLoopExtension, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyQuotaExtension[] = {
  HEAD (RagifyQuotaExtension),
  FUNCTION (RagifyQuotaExtension, open, "[control]"),
  FUNCTION (RagifyQuotaExtension, try_acquire, "[any]"),
  FUNCTION (RagifyQuotaExtension, release, "[any]"),
  FUNCTION (RagifyQuotaExtension, in_use, "[any]"),
  FUNCTION (RagifyQuotaExtension, notify_release, "[loop]"),
};
STRUCT (RagifyQuotaExtension, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyMetricsExtension[] = {
  HEAD (RagifyMetricsExtension),
  FUNCTION (RagifyMetricsExtension, metric_new, "[control]"),
  FUNCTION (RagifyMetricsExtension, add, "[any]"),
  FUNCTION (RagifyMetricsExtension, set, "[any]"),
  FUNCTION (RagifyMetricsExtension, observe, "[any]"),
};
STRUCT (RagifyMetricsExtension, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifySecretsExtension[] = {
  HEAD (RagifySecretsExtension),
  FUNCTION (RagifySecretsExtension, read, "[control]"),
};
STRUCT (RagifySecretsExtension, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyTraceExtension[] = {
  HEAD (RagifyTraceExtension),
  FUNCTION (RagifyTraceExtension, context, "[any]"),
};
STRUCT (RagifyTraceExtension, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyThreadCheckExtension[] = {
  HEAD (RagifyThreadCheckExtension),
  FUNCTION (RagifyThreadCheckExtension, current, "[any]"),
  FUNCTION (RagifyThreadCheckExtension, on_own_loop, "[any]"),
};
STRUCT (RagifyThreadCheckExtension, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyKey[] = {
  NUMBER (RagifyKey, name, TEXT),          NUMBER (RagifyKey, type, U32),         NUMBER (RagifyKey, flags, U32),
  NUMBER (RagifyKey, default_value, TEXT), NUMBER (RagifyKey, unit, TEXT),        NUMBER (RagifyKey, choices, TEXT),
  NUMBER (RagifyKey, minimum, TEXT),       NUMBER (RagifyKey, maximum, TEXT),     NUMBER (RagifyKey, summary, TEXT),
  NUMBER (RagifyKey, since, TEXT),         NUMBER (RagifyKey, replaced_by, TEXT),
};
STRUCT (RagifyKey, RAGIFY_STRUCT_GROWS);

static const RagifyDescribedMember members_RagifySchema[] = {
  PLAIN (RagifySchema, keys, OPAQUE),
  NUMBER (RagifySchema, count, U32),
  NUMBER (RagifySchema, stride, U32),
};
STRUCT (RagifySchema, 0);

static const RagifyDescribedMember members_RagifyInstance[] = {
  NUMBER (RagifyInstance, struct_size, U32), NUMBER (RagifyInstance, index, U32),
  NUMBER (RagifyInstance, count, U32),       NUMBER (RagifyInstance, reserved, U32),
  INSIDE (RagifyInstance, node, RagifyStr),
};
STRUCT (RagifyInstance, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyStart[] = {
  HEAD (RagifyStart),
  POINTER (RagifyStart, embedder, RagifyEmbedderInfo),
};
STRUCT (RagifyStart, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyProbeResult[] = {
  HEAD (RagifyProbeResult),
  INSIDE (RagifyProbeResult, detail, RagifyStr),
};
STRUCT (RagifyProbeResult, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyReconfigure[] = {
  HEAD (RagifyReconfigure),
  INSIDE (RagifyReconfigure, keys, RagifyStrList),
};
STRUCT (RagifyReconfigure, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyStatsResult[] = {
  HEAD (RagifyStatsResult),
  INSIDE (RagifyStatsResult, values, RagifyPairList),
};
STRUCT (RagifyStatsResult, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyComponent[] = {
  NUMBER (RagifyComponent, struct_size, U32),
  NUMBER (RagifyComponent, flags, U32),
  NUMBER (RagifyComponent, kind, TEXT),
  NUMBER (RagifyComponent, name, TEXT),
  NUMBER (RagifyComponent, summary, TEXT),
  NUMBER (RagifyComponent, run_class, U32),
  NUMBER (RagifyComponent, max_parallel, U32),
  INSIDE (RagifyComponent, schema, RagifySchema),
  PLAIN (RagifyComponent, operations, OPAQUE),
  FUNCTION (RagifyComponent, create, "[control]"),
  FUNCTION (RagifyComponent, start, "[call]"),
  FUNCTION (RagifyComponent, stop, "[call]"),
  FUNCTION (RagifyComponent, destroy, "[control]"),
  FUNCTION (RagifyComponent, probe, "[call]"),
  FUNCTION (RagifyComponent, reconfigure, "[call]"),
  FUNCTION (RagifyComponent, stats, "[call]"),
  FUNCTION (RagifyComponent, get_extension, "[control]"),
};
STRUCT (RagifyComponent, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyPlugin[] = {
  NUMBER (RagifyPlugin, magic, U32),
  NUMBER (RagifyPlugin, abi_major, U16),
  NUMBER (RagifyPlugin, abi_minor_needed, U16),
  NUMBER (RagifyPlugin, struct_size, U32),
  NUMBER (RagifyPlugin, flags, U32),
  NUMBER (RagifyPlugin, id, TEXT),
  NUMBER (RagifyPlugin, version, TEXT),
  NUMBER (RagifyPlugin, licence, TEXT),
  NUMBER (RagifyPlugin, summary, TEXT),
  NUMBER (RagifyPlugin, url, TEXT),
  PLAIN (RagifyPlugin, components, OPAQUE),
};
STRUCT (RagifyPlugin, RAGIFY_STRUCT_GROWS);
