/* An exchange that a library answers.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "exchange.h"

/* The library that ?store= names; without it, the only one. NULL: refused. [loop] */
RagifyLibrary *ragify_exchange_library (RagifyExchange *exchange);

/* What a library's function is given as `replied` and `user`; the action's `detach` is the last of them. [loop] */
void *ragify_library_exchange_new (RagifyExchange *exchange);
void ragify_library_exchange_replied (const char *body, gsize size, const RagifyProblem *problem, void *user);
void ragify_library_exchange_detach (RagifyExchange *exchange);

/* The same, where what is asked may take long: with `Prefer: respond-async` it becomes a job of that kind (constant),
 * and the exchange is replied to at once. NULL: refused. [loop] */
void *ragify_library_exchange_begin (RagifyExchange *exchange, const RagifyLibrary *library, const char *kind);
