/* SPDX-License-Identifier: MIT */
#include "core/app/balancers.h"

static RagifyBalancePolicy
policy_of (const char *name)
{
  static const char *const names[] = { [RAGIFY_BALANCE_WEIGHTED_RANDOM] = "weighted-random",
                                       [RAGIFY_BALANCE_ROUND_ROBIN] = "round-robin",
                                       [RAGIFY_BALANCE_LEAST_OUTSTANDING] = "least-outstanding",
                                       [RAGIFY_BALANCE_EWMA] = "ewma" };
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_str_equal (name, names[i]))
      return (RagifyBalancePolicy)i;
  return RAGIFY_BALANCE_WEIGHTED_RANDOM;
}

RagifyBalancer *
ragify_balancer_from_config (const RagifyConfigNode *config, RagifyMetrics *metrics,
                             RagifyNode *(*find) (void *user, const RagifyConfigNode *config), void *user)
{
  gsize count;
  const RagifyConfigNode *const *groups = ragify_config_node_refs (config, "members", &count);
  RagifyBalancerMember members[RAGIFY_BALANCER_MEMBERS];
  guint n_members = 0;
  for (gsize i = 0; i < count && n_members < RAGIFY_BALANCER_MEMBERS; i++) {
    RagifyNode *node = find (user, groups[i]);
    if (node != NULL)
      members[n_members++] =
          (RagifyBalancerMember){ .node = node,
                                  .deadline_us = ragify_config_node_get_duration (groups[i], "deadline") };
  }
  if (n_members == 0)
    return NULL;
  const RagifyBalancerOptions options = {
    .name = ragify_config_node_name (config),
    .members = members,
    .n_members = n_members,
    .policy = policy_of (ragify_config_node_get_string (config, "policy")),
    .error_penalty = ragify_config_node_get_double (config, "error-penalty"),
    .slow_start_us = ragify_config_node_get_duration (config, "slow-start"),
    .sticky = ragify_config_node_get_bool (config, "sticky"),
    .hedge_us = ragify_config_node_get_duration (config, "hedge"),
    .hedge_at_p95 = ragify_config_node_get_bool (config, "hedge-at-p95"),
    .retries = (guint)ragify_config_node_get_int (config, "retry"),
    .retry_budget = ragify_config_node_get_double (config, "retry-budget"),
    .metrics = metrics,
  };
  return ragify_balancer_new (&options);
}
