/* What the routes for operators share with the listener.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#define RAGIFY_LIVE_TYPE "application/json"
#define RAGIFY_LIVE_BODY "{\"status\":\"alive\"}"
