/* Cross-origin requests: which pages of other sites may ask from a browser (fetch.spec.whatwg.org, CORS protocol).
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "exchange.h"

/* Whether the exchange comes from a page of an origin that the configuration allows. [loop] */
gboolean ragify_cors_allows (const RagifyExchange *exchange);
/* Whether it asks whether a request would be allowed; where so, the response to it. [loop] */
gboolean ragify_cors_is_preflight (const RagifyExchange *exchange, const char *method);
struct MHD_Response *ragify_cors_preflight (const RagifyExchange *exchange, const char *allow);
/* Tells the browser that the page may read the response. [loop] */
void ragify_cors_mark (const RagifyExchange *exchange, struct MHD_Response *response);
