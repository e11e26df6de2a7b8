/* SPDX-License-Identifier: MIT */
#include "config/redact.h"

#include <stdbool.h>
#include <string.h>

static const char *const words[] = { "password=", "passwd=",  "pwd=",     "token=",
                                     "secret=",   "api-key=", "api_key=", "apikey=" };

static size_t
word_at (const char *at)
{
  for (size_t i = 0; i < G_N_ELEMENTS (words); i++)
    if (g_ascii_strncasecmp (at, words[i], strlen (words[i])) == 0)
      return strlen (words[i]);
  return 0;
}

/* The password in the authority that begins at `at`, such as "user:password@host"; false: it has none. */
static bool
find_password (const char *at, const char **begin, const char **end)
{
  size_t authority = strcspn (at, "/?# \t;");
  const char *sign = memrchr (at, '@', authority);
  const char *colon = sign == NULL ? NULL : memchr (at, ':', (size_t)(sign - at));

  if (colon == NULL)
    return false;
  *begin = colon + 1;
  *end = sign;
  return true;
}

char *
ragify_redact (const char *text)
{
  GString *shown = g_string_sized_new (strlen (text));
  const char *at = text;

  while (*at != '\0') {
    size_t word = word_at (at);
    const char *begin = NULL;
    const char *end = NULL;

    if (word > 0) {
      g_string_append_len (shown, at, (gssize)word);
      at += word;
      if (*at == '\'')
        g_string_append_c (shown, *at++);
      g_string_append (shown, "***");
      at += strcspn (at, " \t&;'\"");
    } else if (strncmp (at, "://", 3) == 0 && find_password (at + 3, &begin, &end)) {
      g_string_append_len (shown, at, begin - at);
      g_string_append (shown, "***");
      at = end;
    } else {
      g_string_append_c (shown, *at++);
    }
  }
  return g_string_free (shown, FALSE);
}
