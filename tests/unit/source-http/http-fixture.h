/* A kit, a scripted server, and source-http between them. SPDX-License-Identifier: MIT */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kit-glib.h"
#include "scripted-http.h"

#include <glib.h>

typedef struct HttpFixture {
  ScriptedHttp *server;
  RagifyKit *kit;
  RagifyKitInstance *source;
} HttpFixture;

int http_set_up (void **state);
/* Also checks that nothing is left: descriptors, connections at the server, kit faults. */
int http_tear_down (void **state);
int http_group_tear_down (void **state);

/* Opens the source at a behaviour of the server, such as "ok"; more "key=value" texts, ended by NULL. */
void http_open (HttpFixture *fixture, const char *behaviour, ...) G_GNUC_NULL_TERMINATED;
/* The same with the whole configuration; NULL where it is refused, with the reason in ragify_kit_error(). */
RagifyKitInstance *http_try_open (HttpFixture *fixture, const char *const *config);
void http_close (HttpFixture *fixture);

RagifyKitCall *http_ask (HttpFixture *fixture, const char *text, guint top_k, guint64 timeout_us);

/* Asks, expects a failure with `code` whose message contains `words`. */
void http_expect (HttpFixture *fixture, guint64 timeout_us, int32_t code, const char *words);

/* Number `i` of the passages that came back. */
const RagifyChunk *http_chunk (const RagifyKitCall *call, guint64 i);
void http_assert_str (RagifyStr text, const char *expected);

/* A number of stats(). */
int64_t http_stat (HttpFixture *fixture, const char *name);
