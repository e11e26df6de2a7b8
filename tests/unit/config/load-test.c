/* SPDX-License-Identifier: MIT */
#include "tests/unit/config/fixture.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static const char pipeline_of_everything[] =
    FIXTURE_HTTP "[host]\nthreads = 3\nplugin-dir = /p1; /p2\n"
                 "[source a]\nplugin = files\nroot = a\nweight = 2.5\ndeadline = 250ms\n"
                 "[source b]\nplugin = http\nbase-url = https://b.example\ntoken = hush\n"
                 "[balancer ab]\nmembers = a; b\n"
                 "[embedder e]\nplugin = local\nmodel = fast\n"
                 "[vector-store docs]\nplugin = faiss\npath = docs\nembedder = e\n"
                 "[text-index words]\nplugin = fts5\nof = docs\n"
                 "[cache ram]\nplugin = memory\nmax-bytes = 64MiB\n"
                 "[tier t]\nlevels = ram\n"
                 "[pipeline default]\nretrieve = ab; docs; words; inner\ncache = t\ndedupe = no\n"
                 "[pipeline inner]\nretrieve = words\n";

static void
typed_values_are_there (void **state)
{
  g_autoptr (RagifyConfig) config = fixture_load_sound (pipeline_of_everything);
  const RagifyConfigNode *a = ragify_config_find (config, "source", "a");
  const RagifyConfigNode *b = ragify_config_find (config, "source", "b");
  const RagifyConfigNode *ram = ragify_config_find (config, "cache", "ram");
  const RagifyConfigNode *pipeline = ragify_config_find (config, "pipeline", "default");
  size_t count = 0;

  assert_int_equal (ragify_config_node_get_int (ragify_config_host (config), "threads"), 3);
  assert_string_equal (ragify_config_node_get_string (a, "root"), "/var/lib/ragify/a");
  assert_true (ragify_config_node_get_double (a, "weight") == 2.5);
  assert_int_equal (ragify_config_node_get_duration (a, "deadline"), 250000);
  assert_string_equal (ragify_config_node_get_list (a, "include", &count)[1], "**/*.txt");
  assert_int_equal (count, 2);
  assert_string_equal (ragify_config_node_get_string (b, "token"), "hush");
  assert_string_equal (ragify_config_node_get_string (b, "auth"), "none");
  assert_false (ragify_config_node_has (b, "header"));
  assert_null (ragify_config_node_get_string (b, "header"));
  assert_int_equal (ragify_config_node_get_size (ram, "max-bytes"), 64 << 20);
  assert_false (ragify_config_node_get_bool (pipeline, "dedupe"));
  assert_string_equal (ragify_config_node_get_string (pipeline, "fuse"), "convex");
  assert_string_equal (ragify_config_node_component (ram)->summary, "The host's memory.");
  assert_null (ragify_config_node_component (pipeline));
  assert_null (ragify_config_node_value (pipeline, "nonsense"));
  assert_null (ragify_config_find (config, "source", "c"));
}

static void
nodes_come_after_what_they_refer_to (void **state)
{
  g_autoptr (RagifyConfig) config = fixture_load_sound (pipeline_of_everything);
  size_t count = 0;
  const RagifyConfigNode *const *nodes = ragify_config_nodes (config, &count);

  assert_int_equal (count, 12);
  for (size_t i = 0; i < count; i++) {
    size_t n_values = 0;
    const RagifyConfigValue *values = ragify_config_node_values (nodes[i], &n_values);

    assert_int_equal (ragify_config_node_index (nodes[i]), i);
    for (size_t j = 0; j < n_values; j++) {
      if (values[j].type != RAGIFY_KEY_REFERENCE && values[j].type != RAGIFY_KEY_REFERENCE_LIST)
        continue;
      for (size_t k = 0; values[j].origin.kind != RAGIFY_ORIGIN_NONE && k < values[j].refs.count; k++)
        assert_true (ragify_config_node_index (values[j].refs.nodes[k]) < i);
    }
  }
}

static void
edges_lead_to_nodes_in_the_order_written (void **state)
{
  g_autoptr (RagifyConfig) config = fixture_load_sound (pipeline_of_everything);
  const RagifyConfigNode *pipeline = ragify_config_find (config, "pipeline", "default");
  size_t count = 0;
  const RagifyConfigNode *const *parts = ragify_config_node_refs (pipeline, "retrieve", &count);

  assert_int_equal (count, 4);
  assert_string_equal (ragify_config_node_group (parts[0]), "balancer ab");
  assert_string_equal (ragify_config_node_group (parts[3]), "pipeline inner");
  assert_string_equal (ragify_config_node_name (ragify_config_node_ref (parts[2], "of")), "docs");
  assert_null (ragify_config_node_ref (pipeline, "rerank"));
  assert_null (ragify_config_node_refs (parts[3], "cache", &count));
  assert_int_equal (count, 0);
}

static void
disabled_nodes_stay_and_are_referred_to_by_nobody (void **state)
{
  g_autoptr (RagifyConfig) config =
      fixture_load_sound (FIXTURE_BASE "[source off]\nplugin = not-there\nenabled = false\nanything = goes\n"
                                       "[cache c]\nplugin = memory\nenabled = off\n"
                                       "[pipeline other]\nretrieve = off; s\ncache = c\n");
  const RagifyConfigNode *off = ragify_config_find (config, "source", "off");
  const RagifyConfigNode *other = ragify_config_find (config, "pipeline", "other");
  size_t count = 0;

  assert_non_null (off);
  assert_false (ragify_config_node_enabled (off));
  assert_null (ragify_config_node_component (off));
  assert_string_equal (ragify_config_node_name (*ragify_config_node_refs (other, "retrieve", &count)), "s");
  assert_int_equal (count, 1);
  assert_null (ragify_config_node_ref (other, "cache"));
}

static void
origins_are_known (void **state)
{
  g_autoptr (RagifyConfig) config =
      fixture_load_sound ("[host]\nprofile = low_latency\n\n[source s]\n  plugin = files\n"
                          "root = /srv\n" FIXTURE_HTTP FIXTURE_PIPELINE);
  const RagifyConfigNode *s = ragify_config_find (config, "source", "s");
  const RagifyOrigin *plugin = &ragify_config_node_value (s, "plugin")->origin;

  assert_int_equal (plugin->kind, RAGIFY_ORIGIN_FILE);
  assert_int_equal (plugin->line, 5);
  assert_int_equal (plugin->column, 3);
  assert_true (g_str_has_suffix (plugin->file, "/t.conf"));
  assert_int_equal (ragify_config_node_origin (s)->line, 4);
  assert_int_equal (ragify_config_node_value (s, "retry")->origin.kind, RAGIFY_ORIGIN_PROFILE);
  assert_string_equal (ragify_config_node_value (s, "retry")->origin.file, "low_latency");
  assert_int_equal (ragify_config_node_value (s, "weight")->origin.kind, RAGIFY_ORIGIN_DEFAULT);
  assert_int_equal (ragify_config_node_value (s, "deadline")->origin.kind, RAGIFY_ORIGIN_NONE);
}

static void
folders_are_read_in_order_and_names_shadow (void **state)
{
  char *folder = fixture_folder_new ();
  g_autofree char *vendor = g_build_filename (folder, "vendor", NULL);
  g_autofree char *system = g_build_filename (folder, "etc", NULL);
  g_autofree char *problems = NULL;
  RagifyConfigInput input = { .vendor_directory = vendor, .system_directory = system };
  const RagifyConfigNode *host = NULL;
  g_autoptr (RagifyConfig) config = NULL;

  fixture_write (folder, "vendor/10-host.conf", "[host]\nthreads = 1\nworkers = 1\nqueue = 1\n");
  fixture_write (folder, "vendor/20-host.conf", "[host]\nthreads = 2\n");
  fixture_write (folder, "vendor/30-rest.conf", FIXTURE_BASE);
  fixture_write (folder, "vendor/README", "not read");
  /* Of the same name as the vendor's: in its place, and in the order of its own folder. */
  fixture_write (folder, "etc/10-host.conf", "[host]\nworkers = 5\n");
  fixture_write (folder, "etc/00-first.conf", "[host]\nmax-concurrent = 7\nworkers = 6\n");
  config = fixture_load_input (&input, &problems);
  assert_non_null (config);
  assert_string_equal (problems, "");
  host = ragify_config_host (config);
  assert_int_equal (ragify_config_node_get_int (host, "threads"), 2);
  assert_int_equal (ragify_config_node_get_int (host, "workers"), 5);
  assert_int_equal (ragify_config_node_get_int (host, "queue"), 4096);
  assert_int_equal (ragify_config_node_get_int (host, "max-concurrent"), 7);
  fixture_folder_free (folder);
}

static void
named_paths_replace_the_folders (void **state)
{
  char *folder = fixture_folder_new ();
  g_autofree char *system = g_build_filename (folder, "etc", NULL);
  g_autofree char *one = g_build_filename (folder, "one.conf", NULL);
  g_autofree char *two = g_build_filename (folder, "two", NULL);
  const char *const paths[] = { one, two, NULL };
  const char *const overrides[] = { "host.queue=9", "host . queue = 8", NULL };
  const char *const fine[] = { "host.queue=9", "host.queue=8", "source s.include=a; \"b # c\"", NULL };
  RagifyConfigInput input = { .paths = paths, .system_directory = system, .overrides = overrides };
  g_autofree char *problems = NULL;
  g_autoptr (RagifyConfig) config = NULL;
  size_t count = 0;

  fixture_write (folder, "etc/10-host.conf", "[host]\nthreads = 1\n");
  fixture_write (folder, "one.conf", "[host]\nthreads = 2\nworkers = 2\n" FIXTURE_BASE);
  fixture_write (folder, "two/a.conf", "[host]\nworkers = 3\n");
  assert_null (fixture_load_input (&input, &problems));
  assert_true (g_str_has_prefix (problems, "command line:2:1: error: expected KIND NAME.KEY=VALUE"));
  input.overrides = fine;
  config = fixture_load_input (&input, NULL);
  assert_int_equal (ragify_config_node_get_int (ragify_config_host (config), "threads"), 2);
  assert_int_equal (ragify_config_node_get_int (ragify_config_host (config), "workers"), 3);
  assert_int_equal (ragify_config_node_get_int (ragify_config_host (config), "queue"), 8);
  assert_int_equal (ragify_config_node_value (ragify_config_host (config), "queue")->origin.kind,
                    RAGIFY_ORIGIN_COMMAND_LINE);
  assert_string_equal (ragify_config_node_get_list (ragify_config_find (config, "source", "s"), "include", &count)[1],
                       "b # c");
  fixture_folder_free (folder);
}

static void
what_cannot_be_read_is_an_error (void **state)
{
  char *folder = fixture_folder_new ();
  g_autofree char *missing = g_build_filename (folder, "missing", NULL);
  g_autofree char *fifo = g_build_filename (folder, "d", "10-pipe.conf", NULL);
  g_autofree char *directory = g_build_filename (folder, "d", NULL);
  const char *const paths[] = { missing, directory, NULL };
  RagifyConfigInput input = { .paths = paths };
  RagifyConfigInput nowhere = { .system_directory = missing };
  g_autofree char *problems = NULL;
  g_autofree char *expected = NULL;
  g_autofree char *no_folder = NULL;

  fixture_write (folder, "d/20.conf", FIXTURE_BASE);
  assert_int_equal (mkfifo (fifo, 0600), 0);
  assert_null (fixture_load_input (&input, &problems));
  expected = g_strdup_printf ("%s: error: cannot be read: No such file or directory\n%s: error: is not a file\n",
                              missing, fifo);
  assert_string_equal (problems, expected);
  assert_null (fixture_load_input (&nowhere, &no_folder));
  assert_non_null (strstr (no_folder, "no configuration: this folder does not exist"));
  fixture_folder_free (folder);
}

static void
secrets_come_from_files_and_credentials (void **state)
{
  char *folder = fixture_folder_new ();
  g_autofree char *path = g_build_filename (folder, "t.conf", NULL);
  g_autofree char *credentials = g_strdup_printf ("CREDENTIALS_DIRECTORY=%s/credentials", folder);
  const char *const environment[] = { credentials, "TOKEN=t-from-environment", NULL };
  const char *const paths[] = { path, NULL };
  RagifyConfigInput input = { .paths = paths, .environment = environment };
  g_autofree char *problems = NULL;
  g_autoptr (RagifyConfig) config = NULL;
  g_autoptr (GString) printed = g_string_new (NULL);
  const RagifyConfigNode *db = NULL;
  g_autofree char *beside = g_build_filename (folder, "beside.dsn", NULL);

  fixture_write (folder, "credentials/db.dsn", "from-credentials\r\n");
  fixture_write (folder, "beside.dsn", "from-beside\n\n");
  fixture_write (folder, "q.sql", "select 1; -- two\nfrom t\n");
  assert_int_equal (g_chmod (beside, 0600), 0);
  fixture_write (folder, "t.conf",
                 FIXTURE_HTTP "[source db]\nplugin = postgres\ndsn-file = db.dsn\nstatement-file = q.sql\n"
                              "[source db2]\nplugin = postgres\ndsn-file = beside.dsn\n"
                              "[source api]\nplugin = http\nbase-url = https://a.example\ntoken = ${TOKEN}\n"
                              "[pipeline default]\nretrieve = db; db2; api\n");
  config = fixture_load_input (&input, &problems);
  assert_string_equal (problems, "");
  db = ragify_config_find (config, "source", "db");
  assert_string_equal (ragify_config_node_get_string (db, "dsn"), "from-credentials");
  assert_string_equal (ragify_config_node_get_string (db, "statement"), "select 1; -- two\nfrom t");
  assert_string_equal (ragify_config_node_get_string (ragify_config_find (config, "source", "db2"), "dsn"),
                       "from-beside\n");
  assert_string_equal (ragify_config_node_get_string (ragify_config_find (config, "source", "api"), "token"),
                       "t-from-environment");
  ragify_config_print (config, printed);
  assert_null (strstr (printed->str, "from-"));
  assert_non_null (strstr (printed->str, "dsn-file = db.dsn"));
  assert_non_null (strstr (printed->str, "token = ${TOKEN}"));
  fixture_folder_free (folder);
}

static void
a_secret_that_everybody_can_read_is_warned_of (void **state)
{
  char *folder = fixture_folder_new ();
  g_autofree char *path = g_build_filename (folder, "t.conf", NULL);
  g_autofree char *dsn = g_build_filename (folder, "x.dsn", NULL);
  const char *const environment[] = { NULL };
  const char *const paths[] = { path, NULL };
  RagifyConfigInput input = { .paths = paths, .environment = environment };
  g_autofree char *problems = NULL;
  g_autofree char *binary = NULL;
  g_autoptr (RagifyConfig) config = NULL;

  fixture_write (folder, "x.dsn", "hush");
  assert_int_equal (g_chmod (dsn, 0644), 0);
  fixture_write (folder, "t.conf", FIXTURE_HTTP "[source s]\nplugin = postgres\ndsn-file = x.dsn\n" FIXTURE_PIPELINE);
  config = fixture_load_input (&input, &problems);
  assert_non_null (config);
  assert_non_null (strstr (problems, ":5:12: warning: [source s]: 'dsn-file': everybody on this machine can read"));
  assert_null (strstr (problems, "hush"));
  assert_true (g_file_set_contents (dsn, "hu\0sh", 5, NULL));
  assert_null (fixture_load_input (&input, &binary));
  assert_non_null (strstr (binary, "cannot be read: it is not UTF-8 text"));
  fixture_folder_free (folder);
}

static void
state_folder_is_chosen_by_precedence (void **state)
{
  const char *const service[] = { "STATE_DIRECTORY=/run/a:/run/b", NULL };
  const char *const nothing[] = { NULL };
  const char *const overrides[] = { "http api.listen=127.0.0.1:0", "source s.plugin=files", "source s.root=r",
                                    "pipeline default.retrieve=s", NULL };
  const char *const overrides_with[] = { "http api.listen=127.0.0.1:0", "source s.plugin=files",    "source s.root=r",
                                         "pipeline default.retrieve=s", "host.state-dir=/from/set", NULL };
  RagifyConfigInput input = { .overrides = overrides, .environment = nothing, .default_state_dir = "/from/default" };
  RagifyConfig *config = fixture_load_input (&input, NULL);

  assert_string_equal (ragify_config_node_get_string (ragify_config_find (config, "source", "s"), "root"),
                       "/from/default/r");
  ragify_config_unref (config);
  input.environment = service;
  config = fixture_load_input (&input, NULL);
  assert_string_equal (ragify_config_node_get_string (ragify_config_host (config), "state-dir"), "/run/a");
  assert_string_equal (ragify_config_node_get_string (ragify_config_find (config, "source", "s"), "root"), "/run/a/r");
  ragify_config_unref (config);
  input.overrides = overrides_with;
  config = fixture_load_input (&input, NULL);
  assert_string_equal (ragify_config_node_get_string (ragify_config_find (config, "source", "s"), "root"),
                       "/from/set/r");
  ragify_config_unref (config);
}

static void
a_relative_state_folder_is_under_the_working_one (void **state)
{
  g_autofree char *here = g_get_current_dir ();
  g_autofree char *expected = g_build_filename (here, "state", NULL);
  g_autofree char *models = g_build_filename (here, "state", "models", NULL);
  g_autoptr (RagifyConfig) config =
      fixture_load_sound ("[host]\nstate-dir = ./state\nmodels-dir = models\n" FIXTURE_BASE);

  assert_string_equal (ragify_config_node_get_string (ragify_config_host (config), "state-dir"), expected);
  assert_string_equal (ragify_config_node_get_string (ragify_config_host (config), "models-dir"), models);
}

static void
plugins_are_looked_for_where_the_files_say (void **state)
{
  unsigned int before = test_components_prepared;
  g_autoptr (RagifyConfig) config = fixture_load_sound (pipeline_of_everything);

  assert_int_equal (test_components_prepared, before + 1);
  assert_string_equal (test_components_folders, "/p1:/p2");
}

static void
profiles_lie_under_what_is_written (void **state)
{
  g_autoptr (RagifyConfig) plain = fixture_load_sound (FIXTURE_BASE "[cache m]\nplugin = memory\n");
  g_autoptr (RagifyConfig) fast =
      fixture_load_sound ("[host]\nprofile = high_throughput\n" FIXTURE_BASE "deadline = 7s\n"
                          "[cache m]\nplugin = memory\n[cache r]\nplugin = redis\nurl = redis://h\n"
                          "[cache r2]\nplugin = redis\nurl = redis://h\nttl = 9s\n");
  const RagifyConfigNode *pipeline = ragify_config_find (fast, "pipeline", "default");

  assert_int_equal (ragify_config_node_get_int (pipeline, "max-concurrent-sources"), 20);
  assert_int_equal (ragify_config_node_get_duration (pipeline, "deadline"), 7 * G_USEC_PER_SEC);
  assert_int_equal (ragify_config_node_get_int (ragify_config_find (fast, "source", "s"), "retry"), 2);
  assert_int_equal (ragify_config_node_get_duration (ragify_config_find (fast, "cache", "m"), "ttl"),
                    300 * G_USEC_PER_SEC);
  assert_int_equal (ragify_config_node_get_duration (ragify_config_find (fast, "cache", "r"), "ttl"),
                    1800 * G_USEC_PER_SEC);
  assert_int_equal (ragify_config_node_get_duration (ragify_config_find (fast, "cache", "r2"), "ttl"),
                    9 * G_USEC_PER_SEC);
  pipeline = ragify_config_find (plain, "pipeline", "default");
  assert_int_equal (ragify_config_node_get_int (pipeline, "max-concurrent-sources"), 10);
  assert_int_equal (ragify_config_node_get_duration (pipeline, "deadline"), 30 * G_USEC_PER_SEC);
  assert_int_equal (ragify_config_node_get_duration (ragify_config_find (plain, "cache", "m"), "ttl"),
                    300 * G_USEC_PER_SEC);
}

static void
profiles_print_as_drop_ins (void **state)
{
  for (size_t i = 0; ragify_profile_names ()[i] != NULL; i++) {
    g_autoptr (GString) text = g_string_new (NULL);
    g_autofree char *whole = NULL;
    g_autoptr (RagifyConfig) config = NULL;

    assert_true (ragify_profile_print (ragify_profile_names ()[i], text));
    whole = g_strconcat (text->str, FIXTURE_BASE, NULL);
    config = fixture_load_sound (whole);
    assert_string_equal (ragify_config_node_get_string (ragify_config_host (config), "profile"),
                         ragify_profile_names ()[i]);
  }
  g_autoptr (GString) untouched = g_string_new (NULL);
  assert_false (ragify_profile_print ("fastest", untouched));
}

static void
reserved_keys_are_the_hosts (void **state)
{
  assert_true (ragify_host_key_is_reserved ("ragify.source/1", "deadline"));
  assert_true (ragify_host_key_is_reserved ("ragify.vector-store/1", "embedder"));
  assert_false (ragify_host_key_is_reserved ("ragify.source/1", "embedder"));
  assert_false (ragify_host_key_is_reserved ("ragify.cache/1", "ttl"));
  assert_false (ragify_host_key_is_reserved ("ragify.nonsense/1", "deadline"));
}

static void
the_host_can_add_what_it_finds (void **state)
{
  g_autoptr (RagifyConfig) config = fixture_load_sound (FIXTURE_BASE);
  g_autoptr (RagifyDiagnostics) diagnostics = ragify_diagnostics_new ();
  const RagifyConfigNode *s = ragify_config_find (config, "source", "s");
  g_autofree char *text = NULL;

  ragify_diagnostics_add (diagnostics, RAGIFY_SEVERITY_ERROR, s, "root", "no such folder: %s", "/srv");
  ragify_diagnostics_add (diagnostics, RAGIFY_SEVERITY_WARNING, s, "weight", "odd");
  ragify_diagnostics_add (diagnostics, RAGIFY_SEVERITY_WARNING, ragify_config_host (config), NULL, "slow");
  text = ragify_diagnostics_to_text (diagnostics);
  assert_non_null (strstr (text, "t.conf:5:1: error: [source s]: no such folder: /srv\n"));
  assert_non_null (strstr (text, "t.conf:3:1: warning: [source s]: odd\n"));
  assert_non_null (strstr (text, "configuration: warning: [host]: slow\n"));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (typed_values_are_there),
    cmocka_unit_test (nodes_come_after_what_they_refer_to),
    cmocka_unit_test (edges_lead_to_nodes_in_the_order_written),
    cmocka_unit_test (disabled_nodes_stay_and_are_referred_to_by_nobody),
    cmocka_unit_test (origins_are_known),
    cmocka_unit_test (folders_are_read_in_order_and_names_shadow),
    cmocka_unit_test (named_paths_replace_the_folders),
    cmocka_unit_test (what_cannot_be_read_is_an_error),
    cmocka_unit_test (secrets_come_from_files_and_credentials),
    cmocka_unit_test (a_secret_that_everybody_can_read_is_warned_of),
    cmocka_unit_test (state_folder_is_chosen_by_precedence),
    cmocka_unit_test (a_relative_state_folder_is_under_the_working_one),
    cmocka_unit_test (plugins_are_looked_for_where_the_files_say),
    cmocka_unit_test (profiles_lie_under_what_is_written),
    cmocka_unit_test (profiles_print_as_drop_ins),
    cmocka_unit_test (reserved_keys_are_the_hosts),
    cmocka_unit_test (the_host_can_add_what_it_finds),
  };

  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
