/* URLs and bodies with places for what is asked.
 *
 * SPDX-License-Identifier: MIT
 *
 * `{query}`, `{limit}` and `{base-url}` stand for the query's text, the number of passages wanted and the configured
 * URL. What a person asks is escaped for where it goes, so it never becomes more than one value there.
 */
#pragma once

#include "fault.h"

#include <glib.h>
#include <ragify/base.h>

typedef enum HttpEscape {
  HTTP_ESCAPE_URL,  /* percent-encoded; any other {name} is refused */
  HTTP_ESCAPE_FORM, /* percent-encoded */
  HTTP_ESCAPE_JSON, /* for the inside of a JSON string; other braces are the text's own */
} HttpEscape;

typedef struct HttpTemplate HttpTemplate;

/* NULL with a fault that begins with `key`. */
HttpTemplate *
http_template_new (const char *text, HttpEscape escape, const char *base_url, const char *key, RagifyFault *fault);
void http_template_free (HttpTemplate *template);

/* Free with g_free. */
char *http_template_fill (const HttpTemplate *template, RagifyStr query, guint limit);
