/* The memory monitor: which step at which use, and what bounds it.
 *
 * SPDX-License-Identifier: MIT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib/gstdio.h>
#include <string.h>

#include "core/observe/memory-bounds.h"
#include "core/observe/memory.h"

#define MIB ((guint64)1 << 20)

typedef struct World {
  RagifyMetrics *metrics;
  RagifyMemory *memory;
  GArray *asked; /* RagifyMemoryStep */
} World;

static void
note (RagifyMemoryStep step, void *user)
{
  g_array_append_val (((World *)user)->asked, step);
}

static int
set_up (void **state)
{
  World *world = g_new0 (World, 1);
  world->metrics = ragify_metrics_new ();
  world->memory = ragify_memory_new (world->metrics);
  world->asked = g_array_new (FALSE, FALSE, sizeof (RagifyMemoryStep));
  ragify_memory_add_relief (world->memory, note, world);
  *state = world;
  return 0;
}

static int
tear_down (void **state)
{
  World *world = *state;
  ragify_memory_free (world->memory);
  ragify_metrics_free (world->metrics);
  g_array_unref (world->asked);
  g_free (world);
  return 0;
}

/* Looks at so many percent; what the step is then. */
static RagifyMemoryStep
look (World *world, guint percent)
{
  ragify_memory_look (world->memory, percent * MIB, 100 * MIB);
  return ragify_memory_step (world->memory);
}

static void
test_steps_are_taken_one_after_the_other (void **state)
{
  World *world = *state;
  assert_int_equal (look (world, 10), RAGIFY_MEMORY_AT_EASE);
  assert_int_equal (look (world, 79), RAGIFY_MEMORY_AT_EASE);
  assert_int_equal (look (world, 80), RAGIFY_MEMORY_EXPIRE);
  assert_int_equal (look (world, 80), RAGIFY_MEMORY_SHRINK);
  assert_int_equal (look (world, 86), RAGIFY_MEMORY_SHRINK);
  assert_int_equal (look (world, 87), RAGIFY_MEMORY_NO_INGEST);
  assert_int_equal (look (world, 93), RAGIFY_MEMORY_NO_INGEST);
  assert_int_equal (look (world, 94), RAGIFY_MEMORY_SHED);
}

static void
test_a_sudden_growth_takes_all_steps_at_once (void **state)
{
  World *world = *state;
  assert_int_equal (look (world, 99), RAGIFY_MEMORY_SHED);
  assert_int_equal (world->asked->len, 2);
  assert_int_equal (g_array_index (world->asked, RagifyMemoryStep, 0), RAGIFY_MEMORY_EXPIRE);
  assert_int_equal (g_array_index (world->asked, RagifyMemoryStep, 1), RAGIFY_MEMORY_SHRINK);
}

static void
test_steps_are_taken_back_below_what_led_to_them (void **state)
{
  World *world = *state;
  look (world, 95);
  assert_int_equal (look (world, 90), RAGIFY_MEMORY_SHED);
  assert_int_equal (look (world, 88), RAGIFY_MEMORY_NO_INGEST);
  assert_int_equal (look (world, 83), RAGIFY_MEMORY_NO_INGEST);
  assert_int_equal (look (world, 81), RAGIFY_MEMORY_SHRINK);
  assert_int_equal (look (world, 76), RAGIFY_MEMORY_SHRINK);
  assert_int_equal (look (world, 74), RAGIFY_MEMORY_AT_EASE);
}

static void
test_caches_are_told_again_and_again_while_it_is_tight (void **state)
{
  World *world = *state;
  for (guint i = 0; i < 12; i++) {
    look (world, 85);
    g_usleep (G_USEC_PER_SEC / 10);
  }
  assert_true (world->asked->len >= 4); /* expire, shrink, and at least twice more */
  for (guint i = 1; i < world->asked->len; i++)
    assert_int_equal (g_array_index (world->asked, RagifyMemoryStep, i), RAGIFY_MEMORY_SHRINK);
  ragify_memory_remove_relief (world->memory, world);
  const guint before = world->asked->len;
  for (guint i = 0; i < 14; i++) {
    look (world, 85);
    g_usleep (G_USEC_PER_SEC / 10);
  }
  assert_int_equal (world->asked->len, before);
}

static void
test_metrics_tell (void **state)
{
  World *world = *state;
  look (world, 96);
  g_autoptr (GString) text = g_string_new (NULL);
  ragify_metrics_write (world->metrics, text, FALSE);
  assert_non_null (strstr (text->str, "\nragify_memory_step 4\n"));
  assert_non_null (strstr (text->str, "\nragify_memory_steps_total{step=\"shed\"} 1\n"));
  assert_non_null (strstr (text->str, "\nragify_memory_limit_bytes 104857600\n"));
  assert_int_equal (ragify_memory_step (NULL), RAGIFY_MEMORY_AT_EASE);
}

/* ---- what bounds it ---- */

typedef struct Tree {
  char *root, *proc, *cgroup;
} Tree;

static int
tree_set_up (void **state)
{
  Tree *tree = g_new0 (Tree, 1);
  tree->root = g_dir_make_tmp ("memory-test-XXXXXX", NULL);
  tree->proc = g_build_filename (tree->root, "proc", NULL);
  tree->cgroup = g_build_filename (tree->root, "cgroup", NULL);
  *state = tree;
  return 0;
}

static void
remove_all (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name = NULL;
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
    g_autofree char *path = g_build_filename (folder, name, NULL);
    if (g_file_test (path, G_FILE_TEST_IS_DIR))
      remove_all (path);
    else
      g_unlink (path);
  }
  g_rmdir (folder);
}

static int
tree_tear_down (void **state)
{
  Tree *tree = *state;
  remove_all (tree->root);
  g_free (tree->root);
  g_free (tree->proc);
  g_free (tree->cgroup);
  g_free (tree);
  return 0;
}

static void
put (const char *root, const char *path, const char *text)
{
  g_autofree char *file = g_build_filename (root, path, NULL);
  g_autofree char *folder = g_path_get_dirname (file);
  g_mkdir_with_parents (folder, 0700);
  assert_true (g_file_set_contents (file, text, -1, NULL));
}

static RagifyMemoryReading
read_tree (const Tree *tree)
{
  RagifyMemoryReading reading;
  put (tree->proc, "self/statm", "1000 600 100 1 0 500 0\n");
  put (tree->proc, "meminfo", "MemTotal:        2048 kB\nMemFree:  1 kB\nMemAvailable:    1024 kB\n");
  RagifyMemoryBounds *bounds = ragify_memory_bounds_new (tree->proc, tree->cgroup);
  ragify_memory_bounds_read (bounds, &reading);
  ragify_memory_bounds_free (bounds);
  return reading;
}

static void
test_the_lowest_limit_above_binds (void **state)
{
  const Tree *tree = *state;
  put (tree->proc, "self/cgroup", "0::/a/b/c\n");
  put (tree->cgroup, "a/b/c/memory.max", "max\n");
  put (tree->cgroup, "a/b/memory.max", "268435456\n");
  put (tree->cgroup, "a/b/memory.current", "200000000\n");
  put (tree->cgroup, "a/b/memory.stat", "anon 1\nfile 3\ninactive_file 50000000\nactive_file 30000000\n");
  put (tree->cgroup, "a/memory.max", "536870912\n");
  const RagifyMemoryReading reading = read_tree (tree);
  assert_int_equal (reading.group_limit, 268435456);
  assert_int_equal (reading.group_used, 120000000);
  assert_int_equal (reading.total, 2 * MIB);
  assert_int_equal (reading.available, MIB);
  assert_int_equal (reading.anonymous, reading.rss / 6 * 5);
}

static void
test_version_1_is_understood (void **state)
{
  const Tree *tree = *state;
  put (tree->proc, "self/cgroup", "5:cpu:/x\n4:memory:/x\n0::/\n");
  g_autofree char *unified = g_build_filename (tree->cgroup, "unified", NULL);
  g_mkdir_with_parents (unified, 0700);
  put (tree->cgroup, "memory/memory.limit_in_bytes", "9223372036854771712\n");
  put (tree->cgroup, "memory/x/memory.limit_in_bytes", "1000000\n");
  put (tree->cgroup, "memory/x/memory.usage_in_bytes", "600000\n");
  put (tree->cgroup, "memory/x/memory.stat", "inactive_file 7\ntotal_inactive_file 100000\ntotal_active_file 1\n");
  const RagifyMemoryReading reading = read_tree (tree);
  assert_int_equal (reading.group_limit, 1000000);
  assert_int_equal (reading.group_used, 499999);
}

/* A container sees the machine's path, and as its root the folder of its own. */
static void
test_a_container_is_bound_by_its_root (void **state)
{
  const Tree *tree = *state;
  put (tree->proc, "self/cgroup", "0::/system.slice/docker-1234\n");
  put (tree->cgroup, "memory.max", "5000000\n");
  put (tree->cgroup, "memory.current", "1000\n");
  const RagifyMemoryReading reading = read_tree (tree);
  assert_int_equal (reading.group_limit, 5000000);
  assert_int_equal (reading.group_used, 1000);
}

static void
test_without_a_group_nothing_binds (void **state)
{
  const Tree *tree = *state;
  const RagifyMemoryReading reading = read_tree (tree);
  assert_int_equal (reading.group_limit, 0);
  assert_int_equal (reading.group_used, 0);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown (test_steps_are_taken_one_after_the_other, set_up, tear_down),
    cmocka_unit_test_setup_teardown (test_a_sudden_growth_takes_all_steps_at_once, set_up, tear_down),
    cmocka_unit_test_setup_teardown (test_steps_are_taken_back_below_what_led_to_them, set_up, tear_down),
    cmocka_unit_test_setup_teardown (test_caches_are_told_again_and_again_while_it_is_tight, set_up, tear_down),
    cmocka_unit_test_setup_teardown (test_metrics_tell, set_up, tear_down),
    cmocka_unit_test_setup_teardown (test_the_lowest_limit_above_binds, tree_set_up, tree_tear_down),
    cmocka_unit_test_setup_teardown (test_version_1_is_understood, tree_set_up, tree_tear_down),
    cmocka_unit_test_setup_teardown (test_a_container_is_bound_by_its_root, tree_set_up, tree_tear_down),
    cmocka_unit_test_setup_teardown (test_without_a_group_nothing_binds, tree_set_up, tree_tear_down),
  };
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
