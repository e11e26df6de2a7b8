/* Fuzz target of loading a whole configuration: nodes, edges, rules, printing. SPDX-License-Identifier: MIT
 *
 * The components are those of tests/config. The input is read through a file in memory, so that everything is as it is
 * in the host. tests/fuzz/config-run builds and runs it.
 */
#include "tests/config/components.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static const char *const environment[] = { "A=b;c", "HOME=/h", "EMPTY=", NULL };

static void
require (bool condition, const char *what)
{
  if (condition)
    return;
  fprintf (stderr, "does not hold: %s\n", what);
  abort ();
}

static RagifyConfig *
load (const void *data, size_t size, RagifyDiagnostics *diagnostics)
{
  int fd = memfd_create ("t.conf", MFD_CLOEXEC);
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);
  const char *const paths[] = { path, NULL };
  RagifyConfigInput input = { .paths = paths, .environment = environment };
  RagifyConfig *config = NULL;

  require (fd >= 0 && write (fd, data, size) == (ssize_t)size, "the input is in a file");
  config = ragify_config_load (&input, &test_components, diagnostics);
  close (fd);
  return config;
}

static bool
has_secret (const RagifyConfig *config)
{
  size_t n_nodes = 0;
  const RagifyConfigNode *const *nodes = ragify_config_nodes (config, &n_nodes);

  for (size_t i = 0; i < n_nodes; i++) {
    size_t n_values = 0;
    const RagifyConfigValue *values = ragify_config_node_values (nodes[i], &n_values);

    for (size_t j = 0; j < n_values; j++)
      if (values[j].type == RAGIFY_KEY_SECRET && values[j].origin.kind != RAGIFY_ORIGIN_NONE)
        return true;
  }
  return false;
}

/* What was loaded prints, and what is printed loads, unless a secret was left out of it or something was made
 * unreadable that looked like one. */
static void
check_loaded (const RagifyConfig *config)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GString) graph = g_string_new (NULL);
  g_autoptr (RagifyDiagnostics) diagnostics = ragify_diagnostics_new ();
  g_autoptr (RagifyConfig) again = NULL;

  ragify_config_print (config, text);
  ragify_config_print_graph (config, graph);
  require (g_utf8_validate (text->str, (gssize)text->len, NULL), "what is printed is UTF-8");
  if (has_secret (config) || strstr (text->str, "***") != NULL)
    return;
  again = load (text->str, text->len, diagnostics);
  if (again == NULL)
    fprintf (stderr, "%s\n%s\n", text->str, ragify_diagnostics_to_text (diagnostics));
  require (again != NULL, "what is printed loads");
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (RagifyDiagnostics) diagnostics = ragify_diagnostics_new ();
  g_autoptr (RagifyConfig) config = load (data, size, diagnostics);
  g_autofree char *text = ragify_diagnostics_to_text (diagnostics);

  require (g_utf8_validate (text, -1, NULL), "diagnostics are UTF-8");
  require ((config == NULL) == (ragify_diagnostics_count (diagnostics, RAGIFY_SEVERITY_ERROR) > 0),
           "an error refuses, and nothing else does");
  if (config != NULL)
    check_loaded (config);
  return 0;
}
