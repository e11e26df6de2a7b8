#include "disk-fixture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static _Thread_local char said[1024];

int
disk_setup (void **state)
{
  Disk *disk = calloc (1, sizeof *disk);
  assert_non_null (disk);
  (void)snprintf (disk->path, sizeof disk->path, "/tmp/ragify-disk-XXXXXX");
  assert_non_null (mkdtemp (disk->path));
  *state = disk;
  return 0;
}

int
disk_teardown (void **state)
{
  Disk *disk = *state;
  char command[160];
  (void)umount (disk->path); /* left over from a test that failed */
  (void)snprintf (command, sizeof command, "rm -rf '%s'", disk->path);
  free (disk);
  return system (command);
}

RagifyBytes
bytes_of (const char *text)
{
  return (RagifyBytes){ (const uint8_t *)text, strlen (text) };
}

const char *
disk_said (void)
{
  return said;
}

void
disk_open (Disk *disk, const char *const *config)
{
  char place[128];
  const char *whole[8] = { place };
  (void)snprintf (place, sizeof place, "path=%s", disk->path);
  for (int i = 0; config != NULL && config[i] != NULL; i++)
    whole[i + 1] = config[i];
  disk->kit = ragify_kit_new (NULL);
  disk->instance = ragify_kit_open (disk->kit, getenv ("CACHE_DISK"), RAGIFY_KIND_CACHE, "disk", whole, NULL);
  if (disk->instance == NULL)
    fail_msg ("%s", ragify_kit_error (disk->kit));
  disk->operations = ragify_kit_operations (disk->instance);
}

void
disk_close (Disk *disk)
{
  assert_int_equal (ragify_kit_close (disk->instance), RAGIFY_OK);
  const RagifyKitCounts counts = ragify_kit_counts (disk->kit);
  assert_int_equal (counts.buffers, 0);
  assert_int_equal (counts.calls, 0);
  assert_int_equal (counts.faults, 0);
  ragify_kit_free (disk->kit);
  disk->instance = NULL;
}

static int32_t
end_call (RagifyKitCall *call)
{
  const int32_t code = call->code;
  (void)snprintf (said, sizeof said, "%s", call->message);
  ragify_kit_call_free (call);
  return code;
}

int32_t
disk_set (Disk *disk, RagifyBytes key, const void *data, uint64_t size, uint64_t ttl_us, uint64_t timeout_us)
{
  RagifyBuffer *value = ragify_kit_buffer_new (data, size);
  const RagifyCacheSet args = { .struct_size = sizeof args, .key = key, .value = value, .ttl_us = ttl_us };
  const int32_t code =
      end_call (ragify_kit_call (disk->instance, (RagifyKitFunction)disk->operations->set, &args, timeout_us));
  ragify_kit_buffer_unref (value);
  return code;
}

int32_t
disk_get (Disk *disk, RagifyBytes key, RagifyBuffer **value, uint64_t *ttl_us)
{
  const RagifyCacheGet args = { .struct_size = sizeof args, .key = key };
  RagifyKitCall *call = ragify_kit_call (disk->instance, (RagifyKitFunction)disk->operations->get, &args, 0);
  const RagifyCacheGetResult *result = call->result;
  *value = result != NULL ? result->value : NULL;
  if (result != NULL && ttl_us != NULL)
    *ttl_us = result->ttl_us;
  return end_call (call);
}

static int32_t
end_count (RagifyKitCall *call, uint64_t *count)
{
  const RagifyCacheCount *result = call->result;
  *count = result != NULL ? result->count : 0;
  return end_call (call);
}

int32_t
disk_remove (Disk *disk, RagifyBytes key, uint64_t *count)
{
  const RagifyCacheRemove args = { .struct_size = sizeof args, .key = key };
  return end_count (ragify_kit_call (disk->instance, (RagifyKitFunction)disk->operations->remove, &args, 0), count);
}

int32_t
disk_clear (Disk *disk, uint32_t scope, uint64_t target, uint64_t *count)
{
  const RagifyCacheClear args = { .struct_size = sizeof args, .scope = scope, .target_bytes = target };
  return end_count (ragify_kit_call (disk->instance, (RagifyKitFunction)disk->operations->clear, &args, 0), count);
}

int32_t
disk_probe (Disk *disk)
{
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  RagifyKitCall *call =
      ragify_kit_call (disk->instance, (RagifyKitFunction)ragify_kit_component (disk->instance)->probe, &nothing, 0);
  const RagifyProbeResult *result = call->result;
  const int32_t code = call->code;
  if (result != NULL)
    (void)snprintf (said, sizeof said, "%.*s", (int)result->detail.size, result->detail.data);
  else
    (void)snprintf (said, sizeof said, "%s", call->message);
  ragify_kit_call_free (call);
  return code;
}

int64_t
disk_stat (Disk *disk, const char *name)
{
  const RagifyNothing nothing = { .struct_size = sizeof nothing };
  RagifyKitCall *call =
      ragify_kit_call (disk->instance, (RagifyKitFunction)ragify_kit_component (disk->instance)->stats, &nothing, 0);
  const RagifyStatsResult *result = call->result;
  int64_t value = -1;
  assert_non_null (result);
  for (uint64_t i = 0; i < result->values.count; i++) {
    const RagifyPair *pair = &result->values.items[i];
    if (pair->name.size == strlen (name) && memcmp (pair->name.data, name, pair->name.size) == 0)
      value = pair->value.integer;
  }
  ragify_kit_call_free (call);
  return value;
}

off_t
disk_file_size (const Disk *disk)
{
  char path[120];
  struct stat status;
  (void)snprintf (path, sizeof path, "%s/entries.db", disk->path);
  assert_int_equal (stat (path, &status), 0);
  return status.st_size;
}

void
must_set (Disk *disk, const char *key, const char *text)
{
  if (disk_set (disk, bytes_of (key), text, strlen (text), 0, 0) != RAGIFY_OK)
    fail_msg ("set %s: %s", key, said);
}

void
must_get (Disk *disk, const char *key, const char *text)
{
  RagifyBuffer *value = NULL;
  if (disk_get (disk, bytes_of (key), &value, NULL) != RAGIFY_OK)
    fail_msg ("get %s: %s", key, said);
  if (text == NULL) {
    assert_null (value);
    return;
  }
  assert_non_null (value);
  assert_int_equal (value->size, strlen (text));
  assert_memory_equal (value->data, text, value->size);
  value->unref (value);
}

void
must_fail (int32_t code, int32_t expected, const char *part)
{
  if (code != expected || strstr (said, part) == NULL)
    fail_msg ("expected code %d with '%s', got %d: %s", expected, part, code, said);
}

pid_t
fork_writer (const char *path, uint32_t number)
{
  char text[16];
  (void)snprintf (text, sizeof text, "%u", number);
  int ready[2];
  char byte;
  assert_int_equal (pipe (ready), 0);
  const pid_t child = fork ();
  assert_true (child >= 0);
  if (child == 0) {
    (void)prctl (PR_SET_PDEATHSIG, SIGKILL);
    (void)dup2 (ready[1], STDOUT_FILENO);
    (void)close (ready[0]);
    (void)close (ready[1]);
    (void)execl ("/proc/self/exe", "writer", path, text, (char *)NULL);
    _exit (127);
  }
  (void)close (ready[1]);
  assert_int_equal (read (ready[0], &byte, 1), 1);
  (void)close (ready[0]);
  return child;
}

void
kill_writer (pid_t writer)
{
  int status = 0;
  (void)kill (writer, SIGKILL);
  assert_int_equal (waitpid (writer, &status, 0), writer);
  assert_true (WIFSIGNALED (status)); /* it had not failed by itself */
}
