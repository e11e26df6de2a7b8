/* A request as JSON text again: to be remembered, and asked once more.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "core/pipeline/request.h"

/* What ragify_request_parse_json makes the same request of: everything that changes the answer, and nothing that is as
 * it is by default; `timeout_ms` and `cache` are left out. Free with g_free. [any] */
char *ragify_request_text (const RagifyRequest *request);
