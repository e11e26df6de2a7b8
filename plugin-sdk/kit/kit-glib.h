/* Ragify plugin SDK: loops of the test host that are GMainContexts, for LOOP plugins that use GLib sources.
 *
 * SPDX-License-Identifier: MIT
 *
 *     const RagifyKitOptions options = { .poller = &ragify_kit_glib_poller };
 *
 * As in the real host, the context is the thread-default one on the loop. Link with `kit_glib_dep`.
 */
#ifndef RAGIFY_KIT_GLIB_H
#define RAGIFY_KIT_GLIB_H

#include "kit.h"

extern const RagifyKitPoller ragify_kit_glib_poller;

#endif
