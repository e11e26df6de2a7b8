/* Responses as libmicrohttpd wants them.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "exchange.h"

/* A response that owns `body` (g_malloc). `close`: the connection ends with it. */
struct MHD_Response *
ragify_reply_new (const char *content_type, const char *request_id, char *body, gsize size, gboolean close);
/* A response for every connection of a listener, with a constant body and no request id. */
struct MHD_Response *ragify_reply_new_static (const char *content_type, const char *body, gboolean close);
/* The answer's head and body. Small ones are copied together, which sends them with one system call; large ones are
 * sent from where they are and hold a reference to `request` meanwhile. */
struct MHD_Response *ragify_reply_new_answer (RagifyRequest *request, const RagifyAnswer *answer, gboolean close);
/* A problem document, with the Allow header where `allow` is given. */
struct MHD_Response *
ragify_reply_new_problem (const RagifyProblem *problem, const char *request_id, const char *allow, gboolean close);
/* The same as bytes to be written to the socket, for a connection that ends with it. Free with g_free. */
char *ragify_reply_raw_problem (const RagifyProblem *problem, const char *request_id, gsize *size);
