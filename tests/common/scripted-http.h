/* The scripted HTTP server of scripted_http.py as a child process of a test.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <glib.h>

typedef struct ScriptedHttp ScriptedHttp;

/* Starts it on `port` of the loopback interface (0: a free one); ends the test where it cannot. `script` is its path.
 */
ScriptedHttp *scripted_http_new (const char *script, guint port);
/* kill -9, where it still runs. */
void scripted_http_free (ScriptedHttp *server);

guint scripted_http_port (const ScriptedHttp *server);
void scripted_http_signal (ScriptedHttp *server, int number);

/* The body of a GET, such as "/_events"; free with g_free. Blocks. */
char *scripted_http_get (const ScriptedHttp *server, const char *path);

/* Waits until what GET says contains `text`, or equals it; FALSE when it does not after half a minute. */
gboolean scripted_http_await (const ScriptedHttp *server, const char *path, const char *text);
