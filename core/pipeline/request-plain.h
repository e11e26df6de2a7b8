/* Requests as nearly all clients write them, read without a tree: one object whose members are strings without escapes,
 * numbers, true and false, each once. A hundred bytes of that took Jansson twice as long as the rest of a cached
 * answer.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "request.h"

/* Fills a new request. FALSE: it is not written so, or something is wrong with it: then the request is half filled, and
 * what is wrong is for Jansson to say. */
gboolean ragify_request_fill_plain (RagifyRequest *request, const char *body, gsize size);
