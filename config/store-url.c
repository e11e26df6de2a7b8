/* SPDX-License-Identifier: MIT */
#include "config/loader.h"

#include <string.h>

typedef enum UrlPart {
  URL_WHOLE, /* the key takes the URL as it is */
  URL_PATH,  /* … what follows scheme:// */
  URL_TRUE   /* the key is a switch, which the URL turns on */
} UrlPart;

typedef struct UrlScheme {
  const char *scheme;
  const char *plugin;
  const char *key;
  UrlPart part;
} UrlScheme;

static const UrlScheme schemes[] = {
  { "memory://", "faiss", "in-memory", URL_TRUE }, { "faiss://", "faiss", "path", URL_PATH },
  { "chroma://", "chroma", "url", URL_WHOLE },     { "postgresql://", "pgvector", "dsn", URL_WHOLE },
  { "postgres://", "pgvector", "dsn", URL_WHOLE },
};

const char *
ragify_store_url_parse (const char *url, const char **key, char **value, RagifyTextError *error)
{
  for (size_t i = 0; i < G_N_ELEMENTS (schemes); i++) {
    const char *rest = url + strlen (schemes[i].scheme);

    if (!g_str_has_prefix (url, schemes[i].scheme))
      continue;
    if (schemes[i].part == URL_TRUE && *rest != '\0') {
      ragify_text_error (error, 0, "'vector-db-url' says nothing after %s, found '%s'", schemes[i].scheme, rest);
      return NULL;
    }
    if (schemes[i].part == URL_PATH && *rest == '\0') {
      ragify_text_error (error, 0, "'vector-db-url' says no path after %s", schemes[i].scheme);
      return NULL;
    }
    *key = schemes[i].key;
    *value = g_strdup (schemes[i].part == URL_TRUE ? "true" : schemes[i].part == URL_PATH ? rest : url);
    return schemes[i].plugin;
  }
  ragify_text_error (error, 0,
                     "'vector-db-url' takes memory://, faiss://PATH, chroma://HOST:PORT/COLLECTION or "
                     "postgresql://…");
  return NULL;
}
