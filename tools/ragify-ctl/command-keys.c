#include "command.h"

#include "tools/common/json-writer.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define SECRET_BYTES 32
#define RATE_MAX 1e6   /* the host's */
#define NO_RATE (-1e9) /* no rate was given */

static const char description[] =
    "  new NAME     Make a key: print it once, and the lines for the file of api-keys-file\n"
    "\n"
    "The file holds a hash, from which the key cannot be had again. With --file the lines are appended to it, and a\n"
    "running host takes them up within a second. To revoke a key, delete its lines.\n"
    "\n"
    "Scopes: read (ask and list), write (documents, too), admin (everything). A key with a --filter sees only what\n"
    "matches it, and what it writes is marked so.\n"
    "\n" RAGIFY_TOOL_EXIT_HELP "\n"
    "\n"
    "Example:\n"
    "  ragify-ctl keys new acme --scopes write --filter '{\"tenant\": \"acme\"}' --rate 50 --file /etc/ragify/keys\n";

typedef struct {
  char *scopes, *filter, *file, *expires;
  double rate;
} KeyOptions;

static gboolean
make_secret (char **key, char **hash)
{
  guchar bytes[SECRET_BYTES];
  if (getrandom (bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
    return FALSE;
  g_autofree char *text = g_base64_encode (bytes, sizeof bytes);
  g_strdelimit (text, "+", '-');
  g_strdelimit (text, "/", '_');
  text[strcspn (text, "=")] = '\0';
  *key = g_strconcat ("rgf_", text, NULL);
  *hash = g_compute_checksum_for_string (G_CHECKSUM_SHA256, *key, -1);
  return TRUE;
}

static char *
make_lines (const char *name, const char *hash, const KeyOptions *options)
{
  char rate[G_ASCII_DTOSTR_BUF_SIZE];
  GString *lines = g_string_new (NULL);
  g_string_append_printf (lines, "[%s]\nsha256 = %s\nscopes = %s\n", name, hash,
                          options->scopes != NULL ? options->scopes : "read");
  if (options->filter != NULL)
    g_string_append_printf (lines, "filter = %s\n", options->filter);
  if (options->rate > 0)
    g_string_append_printf (lines, "rate = %s\n", g_ascii_formatd (rate, sizeof rate, "%.15g", options->rate));
  if (options->expires != NULL)
    g_string_append_printf (lines, "expires = %s\n", options->expires);
  return g_string_free (lines, FALSE);
}

static gboolean
append_lines (const char *path, const char *name, const char *lines)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autoptr (GError) error = NULL;
  const gboolean there = g_file_test (path, G_FILE_TEST_EXISTS);
  if (there && !g_key_file_load_from_file (file, path, G_KEY_FILE_NONE, &error)) {
    ragify_tool_complain ("%s: %s", path, error->message);
    return FALSE;
  }
  if (g_key_file_has_group (file, name)) {
    ragify_tool_complain ("%s has a key [%s] already; choose another name, or delete those lines first", path, name);
    return FALSE;
  }
  const int descriptor = g_open (path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
  g_autofree char *text = g_strconcat (there ? "\n" : "", lines, NULL);
  const gboolean written = descriptor >= 0 && write (descriptor, text, strlen (text)) == (ssize_t)strlen (text);
  if (!written)
    ragify_tool_complain ("%s: %s", path, g_strerror (errno));
  if (descriptor >= 0)
    close (descriptor);
  return written;
}

static gboolean
is_name (const char *name)
{
  for (const char *p = name; *p != '\0'; p++)
    if (!g_ascii_isalnum (*p) && strchr ("-_.", *p) == NULL)
      return FALSE;
  return *name != '\0';
}

static void
print_json (const char *name, const char *key, const char *hash, const char *lines)
{
  g_autoptr (RagifyJsonWriter) writer = ragify_json_writer_new ();
  ragify_json_writer_begin_object (writer, NULL);
  ragify_json_writer_add_string (writer, "name", name);
  ragify_json_writer_add_string (writer, "key", key);
  ragify_json_writer_add_string (writer, "sha256", hash);
  ragify_json_writer_add_string (writer, "lines", lines);
  ragify_json_writer_end_object (writer);
  ragify_json_writer_print (writer);
}

/* ---- what the host would refuse is not written: a file with a mistake would keep it from starting ---- */

static gboolean
check_scopes (const char *text)
{
  static const char *const known[] = { "read", "write", "admin", NULL };
  g_auto (GStrv) names = g_strsplit (text, ";", -1);
  for (char **name = names; *name != NULL; name++)
    if (*g_strstrip (*name) != '\0' && !g_strv_contains (known, *name)) {
      ragify_tool_complain ("--scopes: unknown scope '%s'; there are read, write and admin", *name);
      return FALSE;
    }
  return TRUE;
}

/* Documents of a key that may write are marked with what its filter says. */
static gboolean
can_mark (json_t *filter)
{
  const char *name;
  json_t *value;
  json_object_foreach (filter, name, value) if (json_is_object (value) || json_is_array (value)) return FALSE;
  return TRUE;
}

static gboolean
check_filter (const char *text, const char *scopes)
{
  json_error_t at;
  json_t *json = json_loads (text, JSON_REJECT_DUPLICATES, &at);
  gboolean well = FALSE;
  if (json == NULL)
    ragify_tool_complain ("--filter is not JSON: column %d: %s", at.column, at.text);
  else if (!json_is_object (json) || json_object_size (json) == 0)
    ragify_tool_complain ("--filter: expected an object such as {\"tenant\": \"acme\"}, found %s", text);
  else if (strstr (scopes, "admin") != NULL)
    ragify_tool_complain ("--filter: a key with the scope 'admin' sees everything: it cannot have one");
  else if (strstr (scopes, "write") != NULL && !can_mark (json))
    ragify_tool_complain ("--filter: a key with the scope 'write' needs plain values such as {\"tenant\": \"acme\"}, "
                          "which its documents are marked with");
  else
    well = TRUE;
  json_decref (json);
  return well;
}

static gboolean
check_expires (const char *text)
{
  g_autoptr (GTimeZone) utc = g_time_zone_new_utc ();
  g_autoptr (GDateTime) time = g_date_time_new_from_iso8601 (text, utc);
  if (time == NULL)
    ragify_tool_complain ("--expires: expected a time such as 2027-01-31T00:00:00Z, found '%s'", text);
  return time != NULL;
}

static gboolean
check_options (const KeyOptions *options)
{
  const char *const texts[] = { options->scopes, options->filter, options->expires };
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    if (texts[i] != NULL && strpbrk (texts[i], "\r\n") != NULL) {
      ragify_tool_complain ("a key is described on one line each: no value can have a line break");
      return FALSE;
    }
  if (options->rate != NO_RATE && !(options->rate > 0 && options->rate <= RATE_MAX)) {
    ragify_tool_complain ("--rate: expected a number above 0 and up to %.0f, found %g", RATE_MAX, options->rate);
    return FALSE;
  }
  return (options->scopes == NULL || check_scopes (options->scopes)) &&
         (options->filter == NULL || check_filter (options->filter, options->scopes != NULL ? options->scopes : "")) &&
         (options->expires == NULL || check_expires (options->expires));
}

static int
make_key (const char *name, const KeyOptions *options, gboolean json)
{
  g_autofree char *key = NULL;
  g_autofree char *hash = NULL;
  if (!is_name (name)) {
    ragify_tool_complain ("'%s': a key's name is made of letters, digits, '-', '_' and '.'", name);
    return RAGIFY_TOOL_EXIT_USAGE;
  }
  if (!check_options (options))
    return RAGIFY_TOOL_EXIT_USAGE;
  if (!make_secret (&key, &hash)) {
    ragify_tool_complain ("no random numbers: %s", g_strerror (errno));
    return RAGIFY_TOOL_EXIT_FAILED;
  }
  g_autofree char *lines = make_lines (name, hash, options);
  if (options->file != NULL && !append_lines (options->file, name, lines))
    return RAGIFY_TOOL_EXIT_FAILED;
  if (json) {
    print_json (name, key, hash, lines);
    return RAGIFY_TOOL_EXIT_OK;
  }
  printf ("%s\n", key);
  if (options->file != NULL)
    fprintf (stderr, "The key is printed this once; its hash was added to %s.\n", options->file);
  else
    fprintf (stderr, "The key is printed this once. Add to the file that api-keys-file names:\n\n%s", lines);
  return RAGIFY_TOOL_EXIT_OK;
}

static void
clear_options (KeyOptions *options)
{
  g_free (options->scopes);
  g_free (options->filter);
  g_free (options->file);
  g_free (options->expires);
}

int
ragify_control_keys (RagifyControlOptions *common, int argc, char **argv)
{
  KeyOptions options = { .rate = NO_RATE };
  const GOptionEntry entries[] = {
    { "scopes", 's', 0, G_OPTION_ARG_STRING, &options.scopes, "read, write or admin (default: read)", "SCOPES" },
    { "filter", 0, 0, G_OPTION_ARG_STRING, &options.filter, "What the key is held to, as JSON", "JSON" },
    { "rate", 0, 0, G_OPTION_ARG_DOUBLE, &options.rate, "Requests a second at most", "N" },
    { "expires", 0, 0, G_OPTION_ARG_STRING, &options.expires, "When it ends, such as 2027-01-31T00:00:00Z", "TIME" },
    { "file", 'f', 0, G_OPTION_ARG_FILENAME, &options.file, "Append the lines to this file", "FILE" },
    G_OPTION_ENTRY_NULL,
  };
  int code = RAGIFY_TOOL_EXIT_USAGE;
  if (!ragify_control_parse (common, entries, "new NAME", description, &argc, &argv))
    code = RAGIFY_TOOL_EXIT_USAGE;
  else if (argc != 3 || strcmp (argv[1], "new") != 0)
    ragify_tool_complain ("expected new NAME (see 'ragify-ctl keys --help')");
  else
    code = make_key (argv[2], &options, common->json);
  clear_options (&options);
  return code;
}
