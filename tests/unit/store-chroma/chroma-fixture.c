/* The fixture's part that is about the plugin `chroma`: a real server, and collections of their own for each test. */
#include "kit-glib.h"
#include "store-fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define START_SECONDS 180

static pid_t server;
static int port;
static char folder[64];

static int
free_port (void)
{
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  socklen_t size = sizeof address;
  int probe = socket (AF_INET, SOCK_STREAM, 0);
  if (probe < 0 || bind (probe, (struct sockaddr *)&address, size) != 0 ||
      getsockname (probe, (struct sockaddr *)&address, &size) != 0)
    return 0;
  (void)close (probe);
  return ntohs (address.sin_port);
}

static bool
answers (void)
{
  struct sockaddr_in address = { .sin_family = AF_INET,
                                 .sin_port = htons ((uint16_t)port),
                                 .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  int probe = socket (AF_INET, SOCK_STREAM, 0);
  bool there = probe >= 0 && connect (probe, (struct sockaddr *)&address, sizeof address) == 0;
  if (probe >= 0)
    (void)close (probe);
  return there;
}

static void
run_server (const char *program)
{
  char number[16], data[96];
  (void)snprintf (number, sizeof number, "%d", port);
  (void)snprintf (data, sizeof data, "%s/data", folder);
  (void)freopen ("/dev/null", "w", stdout);
  (void)freopen ("/dev/null", "w", stderr);
  (void)setenv ("ANONYMIZED_TELEMETRY", "False", 1);
  (void)unsetenv ("LD_PRELOAD");
  (void)execl (program, program, "run", "--host", "127.0.0.1", "--port", number, "--path", data, (char *)NULL);
  _exit (127);
}

bool
fixture_begin (void)
{
  const char *program = getenv ("RAGIFY_TEST_CHROMA");
  if (program == NULL || access (program, X_OK) != 0)
    return false;
  strcpy (folder, "/tmp/ragify-chroma-XXXXXX");
  port = free_port ();
  if (mkdtemp (folder) == NULL || port == 0)
    return false;
  server = fork ();
  if (server == 0)
    run_server (program);
  for (time_t end = time (NULL) + START_SECONDS; time (NULL) < end; usleep (100000)) {
    if (answers ())
      return true;
    if (waitpid (server, NULL, WNOHANG) == server)
      break;
  }
  print_error ("the Chroma server did not start\n");
  exit (1);
}

void
fixture_end (void)
{
  char command[100];
  (void)kill (server, SIGTERM);
  (void)waitpid (server, NULL, 0);
  (void)snprintf (command, sizeof command, "rm -rf %s", folder);
  if (system (command) != 0)
    print_error ("%s is left\n", folder);
}

const char *
fixture_plugin (void)
{
  const char *path = getenv ("STORE_CHROMA");
  return path != NULL ? path : "store-chroma.so";
}

/* What Chroma cannot do, or not so; the plugin's README says what this means. */
const char *const *
fixture_exceptions (void)
{
  static const char *const names[] = {
    /* A record's document is read from it, not looked up: ids are made from the document's, so this never happens. */
    "test_a_chunk_moves_to_the_document_that_names_it_last",
    /* The server keeps no history: whoever follows lists everything. */
    "test_changes_since_a_generation",
    /* Its index is a graph. */
    "test_many_rows_are_searched_exactly",
    /* The host fetches the vectors, and scores itself. */
    "test_a_search_scores_chunks_found_elsewhere",
    /* No record is without a vector. */
    "test_a_chunk_written_without_vector_loses_the_old_one",
    "test_a_store_without_embedder_keeps_words_alone",
    NULL,
  };
  return names;
}

int
fixture_set_up (void **state)
{
  static unsigned made;
  Fixture *fixture = calloc (1, sizeof *fixture);
  const RagifyKitOptions options = { .quiet = 1, .workers = 2, .poller = &ragify_kit_glib_poller };
  fixture->kit = ragify_kit_new (&options);
  (void)snprintf (fixture->path, sizeof fixture->path, "test-%u", made++);
  *state = fixture;
  return 0;
}

int
fixture_tear_down (void **state)
{
  Fixture *fixture = *state;
  if (fixture->store != NULL)
    must_close (fixture);
  for (size_t i = 0; i < ragify_kit_faults (fixture->kit); i++)
    print_error ("%s\n", ragify_kit_fault (fixture->kit, i));
  assert_int_equal (ragify_kit_faults (fixture->kit), 0);
  ragify_kit_free (fixture->kit);
  free (fixture);
  return 0;
}

int32_t
try_open (Fixture *fixture, const char *const *more_config, const RagifyEmbedderInfo *embedder)
{
  char url[64], collection[96];
  const char *config[16] = { url, collection, "ef-search=400" };
  (void)snprintf (url, sizeof url, "base-url=http://127.0.0.1:%d", port);
  (void)snprintf (collection, sizeof collection, "collection=%s", fixture->path);
  for (size_t i = 0; more_config != NULL && more_config[i] != NULL && i < 12; i++)
    config[i + 3] = more_config[i];
  fixture->store =
      ragify_kit_open (fixture->kit, fixture_plugin (), RAGIFY_KIND_VECTOR_STORE, "chroma", config, embedder);
  if (fixture->store == NULL)
    return RAGIFY_E_INVALID;
  fixture->operations = ragify_kit_operations (fixture->store);
  return RAGIFY_OK;
}
