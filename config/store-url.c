/* SPDX-License-Identifier: MIT */
#include "config/loader.h"

#include <string.h>

typedef enum UrlPart {
  URL_WHOLE, /* the key takes the URL as it is */
  URL_PATH,  /* … what follows scheme:// */
  URL_TRUE,  /* the key is a switch, which the URL turns on */
  URL_CHROMA /* host and port are base-url, the path is the collection */
} UrlPart;

typedef struct UrlScheme {
  const char *scheme;
  const char *plugin;
  const char *key;
  UrlPart part;
} UrlScheme;

static const UrlScheme schemes[] = {
  { "memory://", "faiss", "in-memory", URL_TRUE },   { "faiss://", "faiss", "path", URL_PATH },
  { "chroma://", "chroma", "base-url", URL_CHROMA }, { "postgresql://", "pgvector", "dsn", URL_WHOLE },
  { "postgres://", "pgvector", "dsn", URL_WHOLE },
};

#define CHROMA_PORT ":8000"

void
ragify_store_url_clear (RagifyStoreUrl *parsed)
{
  g_free (parsed->values[0]);
  g_free (parsed->values[1]);
}

/* HOST, HOST:PORT or HOST:PORT/COLLECTION. */
static bool
split_chroma (const char *rest, RagifyStoreUrl *parsed, RagifyTextError *error)
{
  const char *slash = strchr (rest, '/');
  g_autofree char *host = slash != NULL ? g_strndup (rest, (size_t)(slash - rest)) : g_strdup (rest);
  const char *bracket = strrchr (host, ']');

  if (*host == '\0' || (slash != NULL && strchr (slash + 1, '/') != NULL)) {
    ragify_text_error (error, 0, "expected chroma://HOST:PORT/COLLECTION, found 'chroma://%s'", rest);
    return false;
  }
  parsed->values[0] =
      g_strconcat ("http://", host, strchr (bracket != NULL ? bracket : host, ':') != NULL ? "" : CHROMA_PORT, NULL);
  if (slash == NULL || slash[1] == '\0')
    return true;
  parsed->keys[1] = "collection";
  parsed->values[1] = g_strdup (slash + 1);
  return true;
}

const char *
ragify_store_url_parse (const char *url, RagifyStoreUrl *parsed, RagifyTextError *error)
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
    parsed->keys[0] = schemes[i].key;
    if (schemes[i].part == URL_CHROMA)
      return split_chroma (rest, parsed, error) ? schemes[i].plugin : NULL;
    parsed->values[0] = g_strdup (schemes[i].part == URL_TRUE ? "true" : schemes[i].part == URL_PATH ? rest : url);
    return schemes[i].plugin;
  }
  ragify_text_error (error, 0,
                     "'vector-db-url' takes memory://, faiss://PATH, chroma://HOST:PORT/COLLECTION or "
                     "postgresql://…");
  return NULL;
}
