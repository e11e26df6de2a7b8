/* Request ids: the client's own where it can be used, otherwise a UUID.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <glib.h>
#include <ragify/ragify.h>

/* Writes an id and a NUL: `given` when it is 1..36 characters of [A-Za-z0-9._~+/=:@-], otherwise a random UUID (RFC
 * 9562 version 4; unpredictable, but for telling requests apart and not for secrets). [any] */
void ragify_request_id_choose (RagifyStr given, char id[37]);
