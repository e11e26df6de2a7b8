/* extract-html: the text of web pages, without what stands around it.
 *
 * SPDX-License-Identifier: MIT
 */
#include "extraction.h"

#include <libxml/HTMLparser.h>
#include <libxml/HTMLtree.h>
#include <string.h>

#define DEEPEST 1000u

typedef struct Page {
  RagifyPieces *pieces;
  gboolean whole; /* also what stands around the text */
} Page;

static const RagifyKey keys[] = {
  { .name = "max-text",
    .type = RAGIFY_KEY_SIZE,
    .default_value = "32MiB",
    .minimum = "1KiB",
    .maximum = "1GiB",
    .summary = "A page with more text than this is refused." },
};

static gboolean
is_one_of (const xmlNode *node, const char *const *names)
{
  for (; *names != NULL; names++)
    if (strcmp ((const char *)node->name, *names) == 0)
      return TRUE;
  return FALSE;
}

/* What is never text, and what stands around it: navigation, and what says of itself that it is such. */
static gboolean
is_left_out (const Page *page, xmlNode *node)
{
  static const char *const never[] = { "script", "style",  "noscript", "template", "svg",   "iframe", "object",
                                       "head",   "select", "button",   "canvas",   "audio", "video",  NULL };
  static const char *const around[] = { "nav", "aside", "footer", "form", "menu", NULL };
  static const char *const roles[] = { "navigation", "banner", "contentinfo", "search", "complementary", NULL };
  if (is_one_of (node, never))
    return TRUE;
  if (page->whole)
    return FALSE;
  xmlChar *role = xmlGetProp (node, (const xmlChar *)"role");
  xmlChar *hidden = xmlGetProp (node, (const xmlChar *)"hidden");
  gboolean out = is_one_of (node, around) || hidden != NULL;
  for (guint i = 0; role != NULL && roles[i] != NULL; i++)
    out = out || strcmp ((const char *)role, roles[i]) == 0;
  xmlFree (role);
  xmlFree (hidden);
  return out;
}

static gboolean
is_block (const xmlNode *node)
{
  static const char *const names[] = { "p",          "div",      "section", "article", "main",       "header",
                                       "footer",     "li",       "ul",      "ol",      "dl",         "dt",
                                       "dd",         "table",    "tr",      "caption", "blockquote", "figure",
                                       "figcaption", "hr",       "address", "details", "summary",    "body",
                                       "html",       "nav",      "aside",   "form",    "center",     "fieldset",
                                       "frameset",   "noframes", NULL };
  return is_one_of (node, names);
}

static guint
level_of (const xmlNode *node)
{
  const char *name = (const char *)node->name;
  return name[0] == 'h' && name[1] >= '1' && name[1] <= '6' && name[2] == '\0' ? (guint)(name[1] - '0') : 0;
}

static void walk (Page *page, xmlNode *node, guint depth, gboolean raw);

static void
walk_element (Page *page, xmlNode *node, guint depth, gboolean raw)
{
  const guint level = level_of (node);
  const gboolean pre = strcmp ((const char *)node->name, "pre") == 0;
  const gboolean block = level > 0 || pre || is_block (node);
  if (is_left_out (page, node) || depth > DEEPEST)
    return;
  if (strcmp ((const char *)node->name, "br") == 0)
    ragify_pieces_add_raw (page->pieces, "\n", 1);
  if (block)
    ragify_pieces_end (page->pieces, 0);
  walk (page, node->children, depth + 1, raw || pre);
  if (block)
    ragify_pieces_end (page->pieces, level);
  else if (strcmp ((const char *)node->name, "td") == 0 || strcmp ((const char *)node->name, "th") == 0)
    ragify_pieces_add (page->pieces, " ", 1);
}

static void
walk (Page *page, xmlNode *node, guint depth, gboolean raw)
{
  for (; node != NULL && !page->pieces->stopped; node = node->next) {
    if (node->type == XML_ELEMENT_NODE)
      walk_element (page, node, depth, raw);
    else if (node->type == XML_TEXT_NODE && raw)
      ragify_pieces_add_raw (page->pieces, (const char *)node->content, strlen ((const char *)node->content));
    else if (node->type == XML_TEXT_NODE)
      ragify_pieces_add (page->pieces, (const char *)node->content, strlen ((const char *)node->content));
  }
}

static xmlNode *
find (xmlNode *node, const char *name, guint depth)
{
  for (; node != NULL && depth < DEEPEST; node = node->next) {
    if (node->type != XML_ELEMENT_NODE)
      continue;
    if (strcmp ((const char *)node->name, name) == 0)
      return node;
    xmlNode *found = find (node->children, name, depth + 1);
    if (found != NULL)
      return found;
  }
  return NULL;
}

static char *
title_of (xmlNode *root)
{
  xmlNode *title = find (root, "title", 0);
  xmlChar *text = title != NULL ? xmlNodeGetContent (title) : NULL;
  char *copy = text != NULL ? g_strstrip (g_strdup ((const char *)text)) : NULL;
  xmlFree (text);
  return copy;
}

/* The page's own text where it marks it, otherwise all; all, too, where nothing is left without what stands around. */
static void
walk_page (Page *page, xmlNode *root)
{
  xmlNode *main = find (root, "main", 0);
  if (main != NULL)
    walk_element (page, main, 0, FALSE);
  if (page->pieces->gathered == 0)
    walk (page, root, 0, FALSE);
  ragify_pieces_end (page->pieces, 0);
  if (page->pieces->gathered > 0)
    return;
  page->whole = TRUE;
  walk (page, root, 0, FALSE);
  ragify_pieces_end (page->pieces, 0);
}

/* A page without text is one all the same. */
static gboolean
read_page (RagifyExtractor *extractor, RagifyPieces *pieces, const GByteArray *bytes, char **title, RagifyFault *fault)
{
  Page page = { .pieces = pieces };
  htmlDocPtr document =
      htmlReadMemory ((const char *)bytes->data, (int)bytes->len, NULL, NULL,
                      HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING | HTML_PARSE_NONET);
  if (document == NULL)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "is no HTML that can be parsed");
  xmlNode *root = xmlDocGetRootElement (document);
  *title = title_of (root);
  walk_page (&page, root);
  xmlFreeDoc (document);
  return TRUE;
}

static void
extract (void *instance, RagifyCall *call, const RagifyExtractorExtract *args)
{
  ragify_extractor_run (instance, call, args->stream, read_page);
}

static void
accepts (void *instance, RagifyCall *call, const RagifyExtractorAccepts *args)
{
  static const char *const endings[] = { "html", "htm", "xhtml", "shtml", NULL };
  const RagifyExtractor *extractor = instance;
  g_autofree char *head = g_malloc0 (args->head.size + 1); /* it does not end in a NUL */
  if (args->head.size > 0)
    memcpy (head, args->head.data, args->head.size);
  g_autofree char *lower = g_ascii_strdown (head, -1);
  const char *text = lower + strspn (lower, " \t\r\n\f");
  const gboolean marked = g_str_has_prefix (text, "<!doctype html") || strstr (text, "<html") != NULL;
  ragify_extractor_accept (extractor, call,
                           ragify_uri_ends (args->uri, endings) ? 90
                           : marked && *text == '<'             ? 70
                                                                : 0);
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  RagifyExtractor *extractor = g_new (RagifyExtractor, 1);
  ragify_extractor_init (extractor, host, context);
  xmlInitParser ();
  *instance = extractor;
  return RAGIFY_OK;
}

static void
destroy (void *instance)
{
  g_free (instance);
}

static const RagifyExtractorOperations operations = {
  .struct_size = sizeof operations,
  .accepts = accepts,
  .extract = extract,
};

static const RagifyComponent component = {
  .struct_size = sizeof component,
  .kind = RAGIFY_KIND_EXTRACTOR,
  .name = "html",
  .summary = "The text of web pages, with their headings and without what stands around it.",
  .run_class = RAGIFY_RUN_WORKER,
  .max_parallel = 4,
  .schema = { .keys = keys, .count = G_N_ELEMENTS (keys), .stride = sizeof (RagifyKey) },
  .operations = &operations,
  .create = create,
  .start = ragify_extractor_start,
  .destroy = destroy,
};

static const RagifyComponent *const components[] = { &component, NULL };

static const RagifyPlugin plugin = {
  .magic = RAGIFY_PLUGIN_MAGIC,
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor_needed = RAGIFY_NEEDS_MINOR,
  .struct_size = sizeof plugin,
  .id = "org.ragify.extract-html",
  .version = RAGIFY_VERSION,
  .licence = "MIT",
  .summary = "Web pages as text.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin;
}
