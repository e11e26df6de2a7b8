/* Responses as libmicrohttpd wants them.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "exchange.h"

/* How a client wants its replies. */
typedef struct RagifyReplyWish {
  gboolean close; /* the connection ends with it: not the client's wish, but ours */
  gboolean gzip;  /* compressed, where that pays */
  gboolean tag;   /* with an entity tag, so that it need not be sent again */
} RagifyReplyWish;

/* A response that owns `body` (g_malloc). */
struct MHD_Response *ragify_reply_new (const char *content_type, const char *request_id, char *body, gsize size,
                                       const RagifyReplyWish *wish);
/* Gives a response that was made elsewhere the usual headers. */
void
ragify_reply_dress (struct MHD_Response *response, const char *content_type, const char *request_id, gboolean close);
/* A response for every connection of a listener, with a constant body and no request id. */
struct MHD_Response *ragify_reply_new_static (const char *content_type, const char *body, gboolean close);
/* The answer's head and body. Small ones are copied together, which sends them with one system call; large ones are
 * sent from where they are and hold a reference to `request` meanwhile. */
struct MHD_Response *
ragify_reply_new_answer (RagifyRequest *request, const RagifyAnswer *answer, const RagifyReplyWish *wish);
/* The answer's entity tag (RFC 9110 section 8.8.3), weak: it is the same for all who get the same chunks, while request
 * ids and times differ. FALSE: it has none. */
gboolean ragify_reply_answer_tag (const RagifyAnswer *answer, char tag[40]);
/* Whether an If-None-Match names the tag. */
gboolean ragify_reply_tag_is_known (RagifyStr known, const char *tag);
/* A response without a body for who has the answer of that tag. */
struct MHD_Response *ragify_reply_new_unchanged (const char *request_id, const char *tag, gboolean close);
/* A problem document, with the Allow header where `allow` is given. */
struct MHD_Response *
ragify_reply_new_problem (const RagifyProblem *problem, const char *request_id, const char *allow, gboolean close);
/* The same as bytes to be written to the socket, for a connection that ends with it. Free with g_free. */
char *ragify_reply_raw_problem (const RagifyProblem *problem, const char *request_id, gsize *size);
