/* The values of an instance's configuration keys, one call each. A key that has no value gives 0, false or nothing.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RAGIFY_SETTINGS_H
#define RAGIFY_SETTINGS_H

#include <glib.h>
#include <ragify/ragify.h>

/* A copy that ends in a NUL: "" where there is none. [control][call] */
char *ragify_setting_text (const RagifyHost *host, RagifyContext *context, const char *key);
/* The same; NULL where there is none, or an empty one. */
char *ragify_setting_optional (const RagifyHost *host, RagifyContext *context, const char *key);
/* As the host has it, not copied: it is valid until the call completes. */
RagifyStr ragify_setting_str (const RagifyHost *host, RagifyContext *context, const char *key);
/* Copies, ended by NULL; free with g_strfreev. */
char **ragify_setting_list (const RagifyHost *host, RagifyContext *context, const char *key);
gint64 ragify_setting_int (const RagifyHost *host, RagifyContext *context, const char *key);
guint64 ragify_setting_size (const RagifyHost *host, RagifyContext *context, const char *key);        /* bytes */
guint64 ragify_setting_duration_us (const RagifyHost *host, RagifyContext *context, const char *key); /* µs */
gboolean ragify_setting_bool (const RagifyHost *host, RagifyContext *context, const char *key);
#endif
