/* Who may ask what: from an exchange's head to the key behind it.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "exchange.h"

/* Finds the key and checks it against the action: TRUE, or FALSE with the exchange's problem (401, 403, 429). [loop] */
gboolean ragify_authorize (RagifyExchange *exchange);
/* Logs who did what, where it was a write or an act of administration. [loop] */
void ragify_authorize_audit (const RagifyExchange *exchange, guint status);
/* Lets go of the key. [loop] */
void ragify_authorize_end (RagifyExchange *exchange);
