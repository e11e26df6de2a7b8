#include "inspect.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "tools/common/tool-exit.h"

/* How long a module may take to be opened. */
#define PATIENCE_SECONDS 20

/* A child on its way. */
typedef struct Opening {
  GMainLoop *loop;
  GSubprocess *child;
  char *text;
  gboolean late;
} Opening;

static void
read_all (GObject *source, GAsyncResult *result, gpointer user)
{
  Opening *opening = user;
  g_autoptr (GBytes) bytes = NULL;
  g_subprocess_communicate_finish (opening->child, result, &bytes, NULL, NULL);
  if (bytes != NULL)
    opening->text = g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  g_main_loop_quit (opening->loop);
}

static gboolean
give_up (gpointer user)
{
  Opening *opening = user;
  opening->late = TRUE;
  g_subprocess_force_exit (opening->child);
  return G_SOURCE_REMOVE;
}

static json_t *refused (const char *path, const char *format, ...) G_GNUC_PRINTF (2, 3);

static json_t *
refused (const char *path, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_autofree char *valid = g_utf8_make_valid (path, -1);
  return json_pack ("{s:s, s:s}", "path", valid, "refusal", text);
}

/* The child's answer is the last line: a module may print when it is opened. */
static json_t *
read_answer (const char *text)
{
  const char *line = text != NULL ? strrchr (text, '\x1e') : NULL;
  return line != NULL ? ragify_json_parse_object (line + 1, strlen (line + 1), NULL) : NULL;
}

static json_t *
describe_end (const char *path, Opening *opening)
{
  GSubprocess *child = opening->child;
  if (opening->late)
    return refused (path, "it was opened and did not return within %d seconds", PATIENCE_SECONDS);
  if (g_subprocess_get_if_signaled (child))
    return refused (path, "the process that opened it was ended by signal %d (%s)", g_subprocess_get_term_sig (child),
                    g_strsignal (g_subprocess_get_term_sig (child)));
  json_t *answer = g_subprocess_get_successful (child) ? read_answer (opening->text) : NULL;
  if (answer != NULL)
    return answer;
  return refused (path, "the process that opened it ended with status %d and said nothing",
                  g_subprocess_get_exit_status (child));
}

static json_t *
open_module (const char *path)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GSubprocess) child = g_subprocess_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_SILENCE,
                                                    &error, "/proc/self/exe", RAGIFY_INSPECT_CHILD, path, NULL);
  if (child == NULL)
    return refused (path, "no process could be started to open it: %s", error->message);
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Opening opening = { .loop = loop, .child = child };
  const guint timer = g_timeout_add_seconds (PATIENCE_SECONDS, give_up, &opening);
  g_subprocess_communicate_async (child, NULL, NULL, read_all, &opening);
  g_main_loop_run (loop);
  if (!opening.late)
    g_source_remove (timer);
  g_subprocess_wait (child, NULL, NULL);
  json_t *described = describe_end (path, &opening);
  g_free (opening.text);
  return described;
}

/* ---- which of them the host would refuse for another's sake ---- */

static char *
conflict (const json_t *earlier, const json_t *module)
{
  const char *id = ragify_json_get_string (module, "id");
  const char *place = ragify_json_get_string (earlier, "path");
  gsize i, k;
  const json_t *component, *other;
  if (g_strcmp0 (ragify_json_get_string (earlier, "id"), id) == 0)
    return g_strdup_printf ("a plugin with the id '%s' is already loaded, from %s. Remove one of the two", id, place);
  json_array_foreach (json_object_get (module, "components"), i, component)
  {
    const char *name = ragify_json_get_string (component, "name"), *kind = ragify_json_get_string (component, "kind");
    json_array_foreach (json_object_get (earlier, "components"), k, other)
    {
      if (g_strcmp0 (ragify_json_get_string (other, "name"), name) == 0 &&
          g_strcmp0 (ragify_json_get_string (other, "kind"), kind) == 0)
        return g_strdup_printf ("component '%s' of %s is already there, from %s. Remove one of the two", name, kind,
                                place);
    }
  }
  return NULL;
}

static void
add_module (json_t *modules, const char *path)
{
  json_t *module = open_module (path);
  gsize index;
  const json_t *earlier;
  g_autofree char *reason = NULL;
  json_array_foreach (modules, index, earlier)
  {
    if (reason == NULL && json_object_get (module, "refusal") == NULL && json_object_get (earlier, "refusal") == NULL)
      reason = conflict (earlier, module);
  }
  if (reason != NULL) {
    json_decref (module);
    module = refused (path, "%s", reason);
  }
  json_array_append_new (modules, module);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

static gboolean
add_folder (json_t *modules, const char *folder)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, &error);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  if (dir == NULL) {
    ragify_tool_complain ("%s", error->message);
    return FALSE;
  }
  for (const char *name = g_dir_read_name (dir); name != NULL; name = g_dir_read_name (dir))
    if (g_str_has_suffix (name, ".so"))
      g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, compare_names);
  for (guint i = 0; i < names->len; i++) {
    g_autofree char *path = g_build_filename (folder, g_ptr_array_index (names, i), NULL);
    add_module (modules, path);
  }
  return TRUE;
}

json_t *
ragify_inspect_discover (const char *const *paths, gboolean *whole)
{
  json_t *modules = json_array ();
  for (const char *const *path = paths; *path != NULL; path++) {
    if (g_file_test (*path, G_FILE_TEST_IS_REGULAR)) {
      g_autofree char *absolute = g_canonicalize_filename (*path, NULL); /* a bare name would be looked for elsewhere */
      add_module (modules, absolute);
    } else if (!add_folder (modules, *path))
      *whole = FALSE;
  }
  return modules;
}

/* ---- finding ---- */

static gboolean
is_called (const json_t *component, const char *name)
{
  const char *own = ragify_json_get_string (component, "name");
  g_autofree char *group = g_strconcat (ragify_inspect_group (component), " ", own, NULL);
  g_autofree char *plugin = g_strconcat (ragify_inspect_group (component), "-", own, NULL);
  return g_strcmp0 (own, name) == 0 || g_str_equal (group, name) || g_str_equal (plugin, name);
}

const json_t *
ragify_inspect_find (const json_t *modules, const char *name, const json_t **module, char **reason)
{
  const json_t *found = NULL, *candidate, *component;
  g_autoptr (GString) all = g_string_new (NULL);
  guint count = 0;
  gsize i, k;
  json_array_foreach (modules, i, candidate)
  {
    json_array_foreach (json_object_get (candidate, "components"), k, component)
    {
      const gboolean matches = is_called (component, name);
      if (matches || found == NULL)
        g_string_append_printf (all, "%s'%s %s'", all->len > 0 ? ", " : "", ragify_inspect_group (component),
                                ragify_json_get_string (component, "name"));
      if (!matches)
        continue;
      if (count++ == 0)
        g_string_printf (all, "'%s %s'", ragify_inspect_group (component), ragify_json_get_string (component, "name"));
      found = component;
      *module = candidate;
    }
  }
  if (count == 1)
    return found;
  *reason = count == 0 ? g_strdup_printf ("there is no component '%s'; there are: %s", name,
                                          all->len > 0 ? all->str : "none at all")
                       : g_strdup_printf ("'%s' is several; say which: %s", name, all->str);
  return NULL;
}
