/* Taking credentials out of texts that are shown.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_CONFIG_REDACT_H
#define RAGIFY_CONFIG_REDACT_H

#include <glib.h>

G_BEGIN_DECLS

/* `text` with "***" in the place of what looks like a credential: the password of a URI ("scheme://user:***@host"), and
 * the value after password=, passwd=, pwd=, token=, secret=, api-key= or api_key=, in any case, up to a blank, '&', ';'
 * or a quote. The caller frees it. */
char *ragify_redact (const char *text);

G_END_DECLS
#endif
