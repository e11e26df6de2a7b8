/* SPDX-License-Identifier: MIT */
#include "tests/unit/config/fixture.h"

#include <string.h>

static const char base[] = FIXTURE_HTTP "[source s]\nplugin = http\nbase-url = https://a.example\ntoken = one\n"
                                        "[embedder e]\nplugin = local\nmodel = fast\n"
                                        "[vector-store docs]\nplugin = faiss\npath = docs\nembedder = e\n"
                                        "[cache ram]\nplugin = memory\n"
                                        "[pipeline default]\nretrieve = s; docs\ncache = ram\n";

static const RagifyConfigNode *
find (const RagifyConfig *config, const char *group)
{
  g_auto (GStrv) words = g_strsplit (group, " ", 2);
  const RagifyConfigNode *node = ragify_config_find (config, words[0], words[1]);

  assert_non_null (node);
  return node;
}

/* The base with one piece of its text replaced by another. */
static RagifyConfig *
load_with (const char *piece, const char *replacement)
{
  g_auto (GStrv) parts = g_strsplit (base, piece, -1);
  g_autofree char *text = g_strjoinv (replacement, parts);

  assert_int_equal (g_strv_length (parts), 2);
  return fixture_load_sound (text);
}

static bool
same_fingerprint (RagifyFingerprint a, RagifyFingerprint b)
{
  return a.high == b.high && a.low == b.low;
}

static void
assert_change (const char *piece, const char *replacement, const char *group, RagifyConfigChange expected,
               const char *expected_keys)
{
  g_autoptr (RagifyConfig) before = fixture_load_sound (base);
  g_autoptr (RagifyConfig) after = load_with (piece, replacement);
  g_autoptr (GPtrArray) keys = g_ptr_array_new ();
  g_autofree char *joined = NULL;

  assert_int_equal (ragify_config_node_compare (find (before, group), find (after, group), keys), expected);
  g_ptr_array_add (keys, NULL);
  joined = g_strjoinv (" ", (char **)keys->pdata);
  assert_string_equal (joined, expected_keys);
}

static void
the_same_text_has_the_same_fingerprints (void **state)
{
  g_autoptr (RagifyConfig) one = fixture_load_sound (base);
  g_autoptr (RagifyConfig) two = fixture_load_sound (base);
  size_t count = 0;
  const RagifyConfigNode *const *nodes = ragify_config_nodes (one, &count);

  for (size_t i = 0; i < count; i++) {
    const RagifyConfigNode *other =
        ragify_config_find (two, ragify_config_node_kind (nodes[i]), ragify_config_node_name (nodes[i]));

    assert_true (same_fingerprint (ragify_config_node_fingerprint (nodes[i]), ragify_config_node_fingerprint (other)));
    assert_int_equal (ragify_config_node_compare (nodes[i], other, NULL), RAGIFY_CHANGE_NONE);
    for (size_t j = 0; j < i; j++)
      assert_false (
          same_fingerprint (ragify_config_node_fingerprint (nodes[i]), ragify_config_node_fingerprint (nodes[j])));
  }
}

static void
writing_the_default_changes_nothing (void **state)
{
  assert_change ("plugin = memory\n", "plugin = memory\nttl = 300s\nmax-entries=10000\n", "cache ram",
                 RAGIFY_CHANGE_NONE, "");
}

static void
changes_are_told_by_what_they_need (void **state)
{
  assert_change ("token = one", "token = two", "source s", RAGIFY_CHANGE_RELOADABLE, "token");
  assert_change ("a.example", "b.example", "source s", RAGIFY_CHANGE_REBUILD, "base-url");
  assert_change ("token = one\n", "token = two\nauth = basic\ndeadline = 1s\n", "source s", RAGIFY_CHANGE_REBUILD,
                 "deadline token auth");
  assert_change ("plugin = memory\n", "plugin = memory\nttl = 1s\n", "cache ram", RAGIFY_CHANGE_RELOADABLE, "ttl");
  assert_change ("plugin = memory\n", "plugin = redis\nurl = redis://h\n", "cache ram", RAGIFY_CHANGE_REBUILD, "");
  assert_change ("model = fast", "model = balanced", "embedder e", RAGIFY_CHANGE_REBUILD, "model");
}

static void
what_is_rebuilt_rebuilds_what_stands_on_it (void **state)
{
  assert_change ("model = fast", "model = balanced", "vector-store docs", RAGIFY_CHANGE_REBUILD, "");
  assert_change ("model = fast", "model = balanced", "pipeline default", RAGIFY_CHANGE_REBUILD, "");
  assert_change ("model = fast", "model = balanced", "source s", RAGIFY_CHANGE_NONE, "");
  assert_change ("token = one", "token = two", "pipeline default", RAGIFY_CHANGE_NONE, "");
  assert_change ("retrieve = s; docs", "retrieve = docs; s", "pipeline default", RAGIFY_CHANGE_REBUILD, "retrieve");
}

/* Whether the answers of the default pipeline are told apart after a replacement. */
static bool
answers_differ (const char *piece, const char *replacement)
{
  g_autoptr (RagifyConfig) before = fixture_load_sound (base);
  g_autoptr (RagifyConfig) after = load_with (piece, replacement);
  const RagifyConfigNode *a = find (before, "pipeline default");
  const RagifyConfigNode *b = find (after, "pipeline default");

  assert_false (same_fingerprint (ragify_config_node_fingerprint (a), ragify_config_node_fingerprint (b)));
  return !same_fingerprint (ragify_config_node_answer_fingerprint (a), ragify_config_node_answer_fingerprint (b));
}

static void
only_what_alters_answers_is_in_their_fingerprint (void **state)
{
  assert_true (answers_differ ("model = fast", "model = balanced"));
  assert_true (answers_differ ("a.example", "b.example"));
  assert_true (answers_differ ("cache = ram\n", "cache = ram\nfuse = rrf\n"));
  assert_true (answers_differ ("retrieve = s; docs", "retrieve = docs; s"));
  assert_false (answers_differ ("token = one", "token = two"));
  assert_false (answers_differ ("token = one\n", "token = one\ndeadline = 1s\n"));
  assert_false (answers_differ ("plugin = memory\n", "plugin = memory\nttl = 1s\n"));
  assert_false (answers_differ ("cache = ram\n", "cache = ram\ndeadline = 5s\nmax-concurrent = 5\n"));
}

static void
fingerprints_are_those_of_other_machines (void **state)
{
  g_autoptr (RagifyConfig) config =
      fixture_load_sound ("[tier t]\nlevels = m\n[cache m]\nplugin = memory\n" FIXTURE_BASE);
  RagifyFingerprint fingerprint = ragify_config_node_answer_fingerprint (find (config, "tier t"));

  /* Replicas share caches: a value that changes here makes every cached answer of a running system unknown, which a new
   * release may do, and must say. */
  print_message ("# %016" G_GINT64_MODIFIER "x%016" G_GINT64_MODIFIER "x\n", fingerprint.high, fingerprint.low);
  assert_true (fingerprint.high != 0 && fingerprint.low != 0);
}

/* What is printed loads to the same, but for secrets, of which there are none here. */
static void
printed_configurations_load_to_the_same (void **state)
{
  static const char text[] =
      FIXTURE_BASE "mode = lexical\nmin-relevance = 0.25\n"
                   "[host]\nprofile = low_latency\n"
                   "[source x]\nplugin = files\nroot = \" odd # ; path\\\\\"\ninclude = \"a;b\"; c # d\n"
                   "[source y]\nplugin = http\nbase-url = https://h/?a=$${b}\nheader = \"tab\\tand\\nline \\\"\"\n"
                   "[pipeline two]\nretrieve = x; y; default\ndeadline = 1.25s\n";
  g_autoptr (RagifyConfig) config = fixture_load_sound (text);
  g_autoptr (GString) printed = g_string_new (NULL);
  g_autoptr (RagifyConfig) again = NULL;
  size_t count = 0;
  const RagifyConfigNode *const *nodes = ragify_config_nodes (config, &count);

  ragify_config_print (config, printed);
  again = fixture_load_sound (printed->str);
  for (size_t i = 0; i < count; i++) {
    const RagifyConfigNode *other =
        ragify_config_find (again, ragify_config_node_kind (nodes[i]), ragify_config_node_name (nodes[i]));

    assert_non_null (other);
    assert_true (same_fingerprint (ragify_config_node_fingerprint (nodes[i]), ragify_config_node_fingerprint (other)));
  }
}

static void
graphs_have_each_node_and_edge (void **state)
{
  g_autoptr (RagifyConfig) config = fixture_load_sound (base);
  g_autoptr (GString) graph = g_string_new (NULL);

  ragify_config_print_graph (config, graph);
  assert_true (g_str_has_prefix (graph->str, "digraph ragify {\n"));
  assert_true (g_str_has_suffix (graph->str, "}\n"));
  assert_non_null (strstr (graph->str, "\"source s\" [label=\"s\\nsource: http\""));
  assert_non_null (strstr (graph->str, "\"pipeline default\" -> \"vector-store docs\" [label=\"retrieve\"]"));
  assert_non_null (strstr (graph->str, "\"vector-store docs\" -> \"embedder e\" [label=\"embedder\"]"));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (the_same_text_has_the_same_fingerprints),
    cmocka_unit_test (writing_the_default_changes_nothing),
    cmocka_unit_test (changes_are_told_by_what_they_need),
    cmocka_unit_test (what_is_rebuilt_rebuilds_what_stands_on_it),
    cmocka_unit_test (only_what_alters_answers_is_in_their_fingerprint),
    cmocka_unit_test (fingerprints_are_those_of_other_machines),
    cmocka_unit_test (printed_configurations_load_to_the_same),
    cmocka_unit_test (graphs_have_each_node_and_edge),
  };

  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
