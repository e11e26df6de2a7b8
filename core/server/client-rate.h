/* How many requests a second come from one address, where that is bounded.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "client-table.h"

typedef struct RagifyClientRate RagifyClientRate;

RagifyClientRate *ragify_client_rate_new (void);
void ragify_client_rate_free (RagifyClientRate *rates); /* NULL is allowed */

/* Whether a request of the client may begin at `now` (monotonic µs), at `rate` > 0 requests a second on average and
 * `burst` ≥ 1 at once; otherwise the seconds until one may. Clients on Unix sockets always may. What is remembered of
 * clients is bounded (65,536): where so many come at once, new ones go uncounted. [any] */
gboolean ragify_client_rate_take (RagifyClientRate *rates, const RagifyClientKey *client, double rate, guint burst,
                                  guint64 now, guint *retry_after);
