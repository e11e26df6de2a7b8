/* source-files through the loaded plugin: real folders, real files.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "kit.h"

typedef struct Fixture {
  char *root, *outside;
  RagifyKit *kit;
  RagifyKitInstance *source;
} Fixture;

static void
put (const char *folder, const char *path, const char *text)
{
  g_autofree char *full = g_build_filename (folder, path, NULL);
  g_autofree char *parent = g_path_get_dirname (full);
  assert_int_equal (g_mkdir_with_parents (parent, 0700), 0);
  assert_true (g_file_set_contents (full, text, -1, NULL));
}

static void
open_source_with (Fixture *fixture, const char *refresh, const char *extra)
{
  g_autofree char *root = g_strconcat ("root=", fixture->root, NULL);
  const char *config[] = { root, refresh, extra, NULL };
  fixture->source =
      ragify_kit_open (fixture->kit, g_getenv ("SOURCE_FILES"), RAGIFY_KIND_SOURCE, "files", config, NULL);
  if (fixture->source == NULL)
    fail_msg ("%s", ragify_kit_error (fixture->kit));
}

static void
open_source (Fixture *fixture, const char *extra)
{
  open_source_with (fixture, "refresh=1s", extra);
}

static guint
count_descriptors (void)
{
  guint count = 0;
  DIR *folder = opendir ("/proc/self/fd");
  while (readdir (folder) != NULL)
    count++;
  closedir (folder);
  return count;
}

static int
set_up (void **state)
{
  Fixture *fixture = g_new0 (Fixture, 1);
  fixture->root = g_dir_make_tmp ("ragify-files-XXXXXX", NULL);
  fixture->outside = g_dir_make_tmp ("ragify-outside-XXXXXX", NULL);
  const RagifyKitOptions options = { .quiet = 1 };
  fixture->kit = ragify_kit_new (&options);
  put (fixture->root, "recipes/bread.md", "# Bread\n\nFlour, water, salt and yeast make a dough.\n");
  put (fixture->root, "recipes/deep/er/soup.txt", "A leek soup wants potatoes and cream.\n");
  put (fixture->root, "engine.c", "int main (void) { return potatoes; }\n");
  put (fixture->root, ".hidden/secret.md", "a hidden potato\n");
  put (fixture->outside, "elsewhere.md", "a potato outside the root\n");
  *state = fixture;
  return 0;
}

static int
tear_down (void **state)
{
  Fixture *fixture = *state;
  if (fixture->source != NULL)
    ragify_kit_close (fixture->source);
  assert_int_equal (ragify_kit_faults (fixture->kit), 0);
  ragify_kit_free (fixture->kit);
  const char *argv[] = { "rm", "-rf", fixture->root, fixture->outside, NULL };
  g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
  g_free (fixture->root);
  g_free (fixture->outside);
  g_free (fixture);
  return 0;
}

static RagifyKitCall *
ask (Fixture *fixture, const char *text, guint top_k)
{
  const RagifySourceOperations *operations = ragify_kit_operations (fixture->source);
  const RagifySourceQuery query = { .struct_size = sizeof query, .top_k = top_k, .text = ragify_str_from (text) };
  return ragify_kit_call (fixture->source, (RagifyKitFunction)operations->query, &query, 0);
}

/* The document ids that a query finds, joined by blanks. */
static char *
found_by (Fixture *fixture, const char *text)
{
  RagifyKitCall *call = ask (fixture, text, 10);
  assert_int_equal (call->code, RAGIFY_OK);
  const RagifySourceResult *result = call->result;
  GString *names = g_string_new (NULL);
  for (guint64 i = 0; i < result->chunks.count; i++) {
    const RagifyStr id = result->chunks.items[i].document_id;
    g_string_append_printf (names, "%s%.*s", i > 0 ? " " : "", (int)id.size, id.data);
  }
  ragify_kit_call_free (call);
  return g_string_free (names, FALSE);
}

static void
assert_finds (Fixture *fixture, const char *text, const char *expected)
{
  g_autofree char *found = found_by (fixture, text);
  assert_string_equal (found, expected);
}

/* The same within half a minute: what was written is seen by and by. */
static void
await_finds (Fixture *fixture, const char *text, const char *expected)
{
  for (guint i = 0; i < 3000; i++) {
    g_autofree char *found = found_by (fixture, text);
    if (strcmp (found, expected) == 0)
      return;
    g_usleep (10000);
  }
  assert_finds (fixture, text, expected);
}

static int64_t
stat_of (Fixture *fixture, const char *name)
{
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  RagifyKitCall *call =
      ragify_kit_call (fixture->source, (RagifyKitFunction)ragify_kit_component (fixture->source)->stats, &nothing, 0);
  const RagifyPairList *values = &((const RagifyStatsResult *)call->result)->values;
  int64_t found = -1;
  for (guint64 i = 0; i < values->count; i++)
    if (values->items[i].name.size == strlen (name) && memcmp (values->items[i].name.data, name, strlen (name)) == 0)
      found = values->items[i].value.integer;
  ragify_kit_call_free (call);
  assert_true (found >= 0);
  return found;
}

static void
link_to (Fixture *fixture, const char *target, const char *name)
{
  g_autofree char *link = g_build_filename (fixture->root, name, NULL);
  assert_int_equal (symlink (target, link), 0);
}

static void
finds_by_words_with_stemming (void **state)
{
  Fixture *fixture = *state;
  open_source (fixture, NULL);
  assert_finds (fixture, "how much YEAST for doughs?", "recipes/bread.md");
  assert_finds (fixture, "potato", "recipes/deep/er/soup.txt"); /* not the .c, the hidden, the one outside */
  assert_finds (fixture, "nothing of the kind: zeppelin", "");
  assert_int_equal (stat_of (fixture, "left_out_unreadable") + stat_of (fixture, "left_out_no_text"), 0);
}

static void
any_text_is_a_question (void **state)
{
  Fixture *fixture = *state;
  open_source (fixture, NULL);
  assert_finds (fixture, "\" OR 1=1; DROP TABLE words; -- NEAR( * ^ yeast", "recipes/bread.md");
  assert_finds (fixture, "…!?", "");
  g_autofree char *long_text = g_strnfill (32768, 'x');
  assert_finds (fixture, long_text, "");
}

static void
chunks_say_where_they_are (void **state)
{
  Fixture *fixture = *state;
  g_autoptr (GString) text = g_string_new (NULL);
  for (guint i = 0; i < 200; i++)
    g_string_append_printf (text, "Sentence number %u is about größe.\n", i);
  put (fixture->root, "long.txt", text->str);
  open_source (fixture, NULL);
  RagifyKitCall *call = ask (fixture, "größe", 100);
  const RagifySourceResult *result = call->result;
  assert_true (result->chunks.count > 5);
  for (guint64 i = 0; i < result->chunks.count; i++) {
    const RagifyChunk *chunk = &result->chunks.items[i];
    assert_int_equal (chunk->end - chunk->begin, chunk->content.size);
    assert_memory_equal (text->str + chunk->begin, chunk->content.data, chunk->content.size);
    assert_true (g_utf8_validate (chunk->content.data, (gssize)chunk->content.size, NULL));
  }
  ragify_kit_call_free (call);
}

static void
links_do_not_lead_out_of_the_root (void **state)
{
  Fixture *fixture = *state;
  g_autofree char *file = g_build_filename (fixture->outside, "elsewhere.md", NULL);
  g_autofree char *link = g_build_filename (fixture->root, "link.md", NULL);
  g_autofree char *folder_link = g_build_filename (fixture->root, "folder", NULL);
  assert_int_equal (symlink (file, link), 0);
  assert_int_equal (symlink (fixture->outside, folder_link), 0);
  g_autofree char *pipe = g_build_filename (fixture->root, "pipe.md", NULL);
  assert_int_equal (mkfifo (pipe, 0600), 0); /* would block whoever opens it */
  open_source (fixture, NULL);
  assert_finds (fixture, "outside", "");
}

static void
what_is_no_text_is_left_out (void **state)
{
  Fixture *fixture = *state;
  put (fixture->root, "latin1.txt", "caf\xe9 potato");
  g_autofree char *binary = g_build_filename (fixture->root, "binary.txt", NULL);
  assert_true (g_file_set_contents (binary, "potato\0potato", 13, NULL));
  put (fixture->root, "large.txt", "potato");
  g_autofree char *large = g_build_filename (fixture->root, "large.txt", NULL);
  assert_int_equal (truncate (large, 5 << 20), 0);
  open_source (fixture, NULL);
  assert_finds (fixture, "potato", "recipes/deep/er/soup.txt");
}

static void
changes_are_seen (void **state)
{
  Fixture *fixture = *state;
  open_source (fixture, NULL);
  put (fixture->root, "new.md", "zeppelins float");
  g_autofree char *soup = g_build_filename (fixture->root, "recipes/deep/er/soup.txt", NULL);
  assert_int_equal (g_unlink (soup), 0);
  g_usleep (1100000);
  assert_finds (fixture, "zeppelin", "new.md");
  assert_finds (fixture, "potato", "");
  assert_finds (fixture, "yeast", "recipes/bread.md");
}

static void
include_and_exclude_select (void **state)
{
  Fixture *fixture = *state;
  open_source (fixture, "include=recipes/**/*.txt; engine.c");
  assert_finds (fixture, "potatoes", "engine.c recipes/deep/er/soup.txt");
  assert_finds (fixture, "yeast", "");
}

static void
a_missing_root_is_refused_by_name (void **state)
{
  Fixture *fixture = *state;
  const char *config[] = { "root=/nowhere/at/all", NULL };
  fixture->source = NULL;
  assert_null (ragify_kit_open (fixture->kit, g_getenv ("SOURCE_FILES"), RAGIFY_KIND_SOURCE, "files", config, NULL));
  assert_non_null (strstr (ragify_kit_error (fixture->kit), "/nowhere/at/all: No such file or directory"));
}

static void
scan_gives_whole_files_page_by_page (void **state)
{
  Fixture *fixture = *state;
  open_source (fixture, NULL);
  const RagifySourceOperations *operations = ragify_kit_operations (fixture->source);
  RagifySourceScan scan = { .struct_size = sizeof scan, .limit = 1 };
  RagifyKitCall *first = ragify_kit_call (fixture->source, (RagifyKitFunction)operations->scan, &scan, 0);
  assert_int_equal (first->code, RAGIFY_OK);
  assert_int_equal (first->item_count, 1);
  const RagifyChunk *bread = first->items[0];
  assert_int_equal (bread->document_id.size, strlen ("recipes/bread.md"));
  assert_memory_equal (bread->document_id.data, "recipes/bread.md", bread->document_id.size);
  scan.cursor = ((const RagifySourceScanResult *)first->result)->cursor;
  assert_true (scan.cursor.size > 0);
  RagifyKitCall *second = ragify_kit_call (fixture->source, (RagifyKitFunction)operations->scan, &scan, 0);
  assert_int_equal (second->item_count, 1);
  assert_int_equal (((const RagifySourceScanResult *)second->result)->cursor.size, 0);
  ragify_kit_call_free (first);
  ragify_kit_call_free (second);
}

static void
ignore_files_are_heeded (void **state)
{
  Fixture *fixture = *state;
  put (fixture->root, ".gitignore", "# drafts\n*.tmp.md\n/build/\n!keep.tmp.md\n");
  put (fixture->root, "a.tmp.md", "zeppelin");
  put (fixture->root, "keep.tmp.md", "zeppelin");
  put (fixture->root, "build/x.md", "zeppelin");
  put (fixture->root, "recipes/build/x.md", "zeppelin");
  put (fixture->root, "recipes/.ragifyignore", "old\n");
  put (fixture->root, "recipes/deep/old/x.md", "zeppelin");
  put (fixture->root, "old/x.md", "zeppelin");
  open_source (fixture, NULL);
  assert_finds (fixture, "zeppelin", "keep.tmp.md old/x.md recipes/build/x.md");
  ragify_kit_close (fixture->source);
  open_source (fixture, "ignore-files=");
  g_autofree char *found = found_by (fixture, "zeppelin");
  assert_non_null (strstr (found, "build/x.md"));
}

static void
links_that_stay_inside_can_be_followed (void **state)
{
  Fixture *fixture = *state;
  put (fixture->root, ".data/zeppelins.md", "zeppelins float");
  put (fixture->root, ".data/one.md", "a single zeppelin");
  g_autofree char *absolute = g_build_filename (fixture->root, ".data", NULL);
  g_autofree char *up = g_strconcat ("../", strrchr (fixture->outside, '/') + 1, NULL);
  link_to (fixture, ".data", "shown");
  link_to (fixture, "../.data/one.md", "recipes/one.md"); /* the same file once more */
  link_to (fixture, ".", "loop");
  link_to (fixture, "../recipes", "recipes/again");
  link_to (fixture, absolute, "absolute");
  link_to (fixture, up, "outside");
  link_to (fixture, "../../etc", "etc");
  link_to (fixture, "/proc/self/root", "magic");
  link_to (fixture, "missing", "dangling.md");
  open_source (fixture, NULL);
  assert_finds (fixture, "zeppelin", "");
  ragify_kit_close (fixture->source);
  open_source (fixture, "symlinks=inside");
  g_autofree char *found = found_by (fixture, "zeppelins float");
  assert_true (strstr (found, "shown/zeppelins.md") != NULL);
  assert_finds (fixture, "outside", "");
  assert_int_equal (stat_of (fixture, "files"), 4); /* each once: bread, soup, and the two */
}

static void
a_link_that_turns_up_later_leads_nowhere (void **state)
{
  Fixture *fixture = *state;
  open_source_with (fixture, "refresh=1d", NULL);
  g_autofree char *deep = g_build_filename (fixture->root, "recipes/deep", NULL);
  g_autofree char *moved = g_build_filename (fixture->root, "moved", NULL);
  assert_int_equal (rename (deep, moved), 0);
  link_to (fixture, fixture->outside, "recipes/deep"); /* where soup.txt was */
  put (fixture->outside, "er/soup.txt", "an outside soup");
  await_finds (fixture, "potato", "moved/er/soup.txt");
  assert_finds (fixture, "outside", "");
}

static void
changes_are_told_by_watches (void **state)
{
  Fixture *fixture = *state;
  open_source_with (fixture, "refresh=1d", NULL);
  assert_int_equal (stat_of (fixture, "unwatched"), 0);
  put (fixture->root, "recipes/new/folder/z.md", "zeppelins float");
  await_finds (fixture, "zeppelin", "recipes/new/folder/z.md");
  put (fixture->root, "recipes/new/folder/z.md", "airships float");
  await_finds (fixture, "zeppelin", "");
  assert_finds (fixture, "airship", "recipes/new/folder/z.md");
  g_autofree char *from = g_build_filename (fixture->root, "recipes", NULL);
  g_autofree char *to = g_build_filename (fixture->root, "cooking", NULL);
  assert_int_equal (rename (from, to), 0);
  await_finds (fixture, "yeast", "cooking/bread.md");
}

/* More events than the kernel keeps: it says that some were lost, and that is a change. */
static void
lost_events_are_a_change (void **state)
{
  Fixture *fixture = *state;
  open_source_with (fixture, "refresh=1d", NULL);
  g_autofree char *path = g_build_filename (fixture->root, "flood.md", NULL);
  g_autofree char *other = g_build_filename (fixture->root, "stream.md", NULL);
  for (guint i = 0; i < 3500; i++) {
    g_autoptr (GError) error = NULL;
    FILE *a = fopen (path, "w");
    FILE *b = fopen (other, "w");
    fputs ("flood", a);
    fputs ("stream", b);
    fclose (a);
    fclose (b);
  }
  put (fixture->root, "recipes/deep/er/last.md", "zeppelins float");
  await_finds (fixture, "zeppelin", "recipes/deep/er/last.md");
}

static void
too_many_folders_are_looked_at_in_turns (void **state)
{
  Fixture *fixture = *state;
  open_source (fixture, "max-watches=1");
  assert_int_equal (stat_of (fixture, "watched_folders"), 1);
  assert_int_equal (stat_of (fixture, "unwatched"), 1);
  put (fixture->root, "recipes/deep/er/z.md", "zeppelins float");
  await_finds (fixture, "zeppelin", "recipes/deep/er/z.md");
}

static void
a_root_that_is_gone_is_said_and_looked_for (void **state)
{
  Fixture *fixture = *state;
  open_source_with (fixture, "refresh=1d", NULL);
  g_autofree char *away = g_strconcat (fixture->root, "-away", NULL);
  assert_int_equal (rename (fixture->root, away), 0);
  RagifyKitCall *call = NULL;
  for (guint i = 0; i < 3000 && (call == NULL || call->code == RAGIFY_OK); i++) {
    ragify_kit_call_free (call);
    call = ask (fixture, "yeast", 1);
    g_usleep (10000);
  }
  for (guint i = 0; i < 3; i++) { /* and again */
    assert_int_equal (call->code, RAGIFY_E_UNAVAILABLE);
    assert_non_null (strstr (call->message, "No such file or directory"));
    ragify_kit_call_free (call);
    call = ask (fixture, "yeast", 1);
  }
  ragify_kit_call_free (call);
  assert_int_equal (rename (away, fixture->root), 0);
  assert_finds (fixture, "yeast", "recipes/bread.md");
}

static void
only_regular_files_are_opened (void **state)
{
  Fixture *fixture = *state;
  g_autofree char *pipe = g_build_filename (fixture->root, "pipe.md", NULL);
  g_autofree char *device = g_build_filename (fixture->root, "device.md", NULL);
  g_autofree char *socket_path = g_build_filename (fixture->root, "socket.md", NULL);
  assert_int_equal (mkfifo (pipe, 0600), 0);
  if (mknod (device, S_IFCHR | 0600, 0x0501 /* the console, which would wait */) != 0)
    assert_int_equal (errno, EPERM);
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  g_strlcpy (address.sun_path, socket_path, sizeof address.sun_path);
  const int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal (bind (fd, (const struct sockaddr *)&address, sizeof address), 0);
  open_source (fixture, "symlinks=inside");
  assert_finds (fixture, "yeast", "recipes/bread.md");
  assert_int_equal (stat_of (fixture, "files"), 2);
  close (fd);
}

static void
any_name_is_a_name (void **state)
{
  Fixture *fixture = *state;
  put (fixture->root, "two\nlines %2e ?#.md", "zeppelins float");
  put (fixture->root, "bad\xff.md", "zeppelins sink");
  open_source (fixture, NULL);
  assert_finds (fixture, "zeppelin", "two\nlines %2e ?#.md");
  assert_int_equal (stat_of (fixture, "left_out_no_text"), 1);
  RagifyKitCall *call = ask (fixture, "zeppelin", 1);
  const RagifyStr uri = ((const RagifySourceResult *)call->result)->chunks.items[0].uri;
  assert_non_null (g_strstr_len (uri.data, (gssize)uri.size, "/two%0Alines%20%252e%20%3F%23.md"));
  ragify_kit_call_free (call);
}

static void
what_may_not_be_read_is_counted_and_tried_again (void **state)
{
  Fixture *fixture = *state;
  g_autofree char *bread = g_build_filename (fixture->root, "recipes/bread.md", NULL);
  g_autofree char *soup = g_build_filename (fixture->root, "recipes/deep/er", NULL);
  const char *folders[] = { "", "recipes", "recipes/deep" };
  for (guint i = 0; i < G_N_ELEMENTS (folders); i++) {
    g_autofree char *folder = g_build_filename (fixture->root, folders[i], NULL);
    assert_int_equal (chmod (folder, 0755), 0);
  }
  assert_int_equal (chmod (bread, 0), 0);
  assert_int_equal (chmod (soup, 0), 0);
  const uid_t user = geteuid ();
  if (user == 0)
    assert_int_equal (seteuid (65534), 0); /* root may read all */
  open_source (fixture, NULL);
  assert_finds (fixture, "yeast potato", "");
  assert_int_equal (stat_of (fixture, "left_out_unreadable"), 2);
  assert_int_equal (seteuid (user), 0);
  assert_int_equal (chmod (bread, 0644), 0);
  assert_int_equal (chmod (soup, 0755), 0);
  await_finds (fixture, "yeast", "recipes/bread.md");
  await_finds (fixture, "potato", "recipes/deep/er/soup.txt");
}

static void
the_amount_is_bounded (void **state)
{
  Fixture *fixture = *state;
  g_autofree char *text = g_strnfill (900, 'x');
  for (guint i = 0; i < 10; i++) {
    g_autofree char *name = g_strdup_printf ("big/%u.md", i);
    put (fixture->root, name, text);
  }
  open_source (fixture, "max-size=4KiB");
  assert_true (stat_of (fixture, "files") <= 6);
  assert_true (stat_of (fixture, "left_out_too_many") >= 6);
  ragify_kit_close (fixture->source);
  open_source (fixture, "max-files=3");
  assert_int_equal (stat_of (fixture, "files"), 3);
}

typedef struct Writer {
  char *path;
  gint stop;
} Writer;

static gpointer
keep_writing (gpointer data)
{
  Writer *writer = data;
  while (!g_atomic_int_get (&writer->stop)) {
    FILE *file = fopen (writer->path, "a");
    fputs ("more and more zeppelins\n", file);
    fclose (file);
  }
  return NULL;
}

static void
a_file_that_is_being_written_harms_nothing (void **state)
{
  Fixture *fixture = *state;
  Writer writer = { .path = g_build_filename (fixture->root, "log.txt", NULL) };
  GThread *thread = g_thread_new ("writer", keep_writing, &writer);
  open_source (fixture, "max-file-size=64KiB");
  for (guint i = 0; i < 30; i++) {
    assert_finds (fixture, "yeast", "recipes/bread.md");
    g_free (found_by (fixture, "zeppelins"));
    g_usleep (10000);
  }
  g_atomic_int_set (&writer.stop, 1);
  g_thread_join (thread);
  assert_int_equal (truncate (writer.path, 24), 0);
  await_finds (fixture, "zeppelins", "log.txt");
  g_free (writer.path);
}

static void
nothing_is_left_open (void **state)
{
  Fixture *fixture = *state;
  const guint before = count_descriptors ();
  for (guint i = 0; i < 3; i++) {
    open_source (fixture, "symlinks=inside");
    g_free (found_by (fixture, "yeast"));
    ragify_kit_close (fixture->source);
  }
  fixture->source = NULL;
  assert_int_equal (count_descriptors (), before);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown (finds_by_words_with_stemming, set_up, tear_down),
    cmocka_unit_test_setup_teardown (any_text_is_a_question, set_up, tear_down),
    cmocka_unit_test_setup_teardown (chunks_say_where_they_are, set_up, tear_down),
    cmocka_unit_test_setup_teardown (links_do_not_lead_out_of_the_root, set_up, tear_down),
    cmocka_unit_test_setup_teardown (what_is_no_text_is_left_out, set_up, tear_down),
    cmocka_unit_test_setup_teardown (changes_are_seen, set_up, tear_down),
    cmocka_unit_test_setup_teardown (include_and_exclude_select, set_up, tear_down),
    cmocka_unit_test_setup_teardown (a_missing_root_is_refused_by_name, set_up, tear_down),
    cmocka_unit_test_setup_teardown (scan_gives_whole_files_page_by_page, set_up, tear_down),
    cmocka_unit_test_setup_teardown (ignore_files_are_heeded, set_up, tear_down),
    cmocka_unit_test_setup_teardown (links_that_stay_inside_can_be_followed, set_up, tear_down),
    cmocka_unit_test_setup_teardown (a_link_that_turns_up_later_leads_nowhere, set_up, tear_down),
    cmocka_unit_test_setup_teardown (changes_are_told_by_watches, set_up, tear_down),
    cmocka_unit_test_setup_teardown (lost_events_are_a_change, set_up, tear_down),
    cmocka_unit_test_setup_teardown (too_many_folders_are_looked_at_in_turns, set_up, tear_down),
    cmocka_unit_test_setup_teardown (a_root_that_is_gone_is_said_and_looked_for, set_up, tear_down),
    cmocka_unit_test_setup_teardown (only_regular_files_are_opened, set_up, tear_down),
    cmocka_unit_test_setup_teardown (any_name_is_a_name, set_up, tear_down),
    cmocka_unit_test_setup_teardown (what_may_not_be_read_is_counted_and_tried_again, set_up, tear_down),
    cmocka_unit_test_setup_teardown (the_amount_is_bounded, set_up, tear_down),
    cmocka_unit_test_setup_teardown (a_file_that_is_being_written_harms_nothing, set_up, tear_down),
    cmocka_unit_test_setup_teardown (nothing_is_left_open, set_up, tear_down),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
