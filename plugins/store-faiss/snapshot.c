#include "snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define FORMAT 1u
#define HASH_PIECE (1u << 20)

/* The file: this head, the entries, the index as FAISS writes it, and the hash of all that. */
typedef struct {
  char magic[8];
  uint32_t format;
  uint32_t dimension;
  uint64_t count;
  uint64_t entry_size;
  RagifyUuid store;
  char name[RAGIFY_APPROXIMATE_NAME];
} Head;

static const char magic[8] = { 'R', 'G', 'F', 'Y', 'S', 'N', 'A', 'P' };

static void
make_path (const char *folder, const char *name, char *path, size_t size)
{
  (void)snprintf (path, size, "%s/%s", folder, name);
}

static bool
fail (RagifyFault *fault, const char *path, int cause)
{
  int32_t code = cause == ENOSPC || cause == EDQUOT ? RAGIFY_E_EXHAUSTED : RAGIFY_E_UNAVAILABLE;
  return ragify_fault_set (fault, code, "%.300s: %s", path, strerror (cause));
}

/* The hash of the first `size` bytes. */
static bool
hash_file (FILE *stream, uint64_t size, uint64_t *hash)
{
  XXH3_state_t *state = XXH3_createState ();
  char *piece = malloc (HASH_PIECE);
  bool ok = state != NULL && piece != NULL && XXH3_64bits_reset (state) == XXH_OK && fseek (stream, 0, SEEK_SET) == 0;
  while (ok && size > 0) {
    size_t part = size < HASH_PIECE ? (size_t)size : HASH_PIECE;
    ok = fread (piece, 1, part, stream) == part && XXH3_64bits_update (state, piece, part) == XXH_OK;
    size -= part;
  }
  if (ok)
    *hash = XXH3_64bits_digest (state);
  free (piece);
  (void)XXH3_freeState (state);
  return ok;
}

static bool
write_all (FILE *stream, const char *path, const Head *head, const RagifySnapshot *snapshot, RagifyFault *fault)
{
  uint64_t hash;
  if (fwrite (head, sizeof *head, 1, stream) != 1 ||
      fwrite (snapshot->entries, sizeof *snapshot->entries, snapshot->count, stream) != snapshot->count)
    return fail (fault, path, errno);
  if (!ragify_approximate_write (snapshot->approximate, stream, fault))
    return false;
  if (fflush (stream) != 0)
    return fail (fault, path, errno);
  long size = ftell (stream);
  if (size < 0 || !hash_file (stream, (uint64_t)size, &hash) || fseek (stream, size, SEEK_SET) != 0 ||
      fwrite (&hash, sizeof hash, 1, stream) != 1 || fflush (stream) != 0 || fsync (fileno (stream)) != 0)
    return fail (fault, path, errno);
  return true;
}

bool
ragify_snapshot_write (const char *folder, const RagifyUuid *store, const char *name, uint32_t dimension,
                       const RagifySnapshot *snapshot, RagifyFault *fault)
{
  char path[4200], fresh[4200];
  Head head = { .format = FORMAT,
                .dimension = dimension,
                .count = snapshot->count,
                .entry_size = sizeof *snapshot->entries,
                .store = *store };
  memcpy (head.magic, magic, sizeof magic);
  (void)snprintf (head.name, sizeof head.name, "%s", name);
  make_path (folder, "index.snapshot", path, sizeof path);
  make_path (folder, "index.snapshot.new", fresh, sizeof fresh);
  FILE *stream = fopen (fresh, "w+be");
  if (stream == NULL)
    return fail (fault, fresh, errno);
  bool ok = write_all (stream, fresh, &head, snapshot, fault);
  (void)fclose (stream);
  if (ok && rename (fresh, path) != 0)
    ok = fail (fault, path, errno);
  if (!ok)
    (void)unlink (fresh);
  return ok;
}

static bool
check_head (const Head *head, const RagifyUuid *store, const char *name, uint32_t dimension)
{
  return memcmp (head->magic, magic, sizeof magic) == 0 && head->format == FORMAT && head->dimension == dimension &&
         head->entry_size == sizeof (RagifyIndexEntry) && memcmp (&head->store, store, sizeof *store) == 0 &&
         strncmp (head->name, name, sizeof head->name) == 0;
}

/* Whether the file is whole: its last bytes are the hash of all before them. */
static bool
check_hash (FILE *stream, uint64_t *size)
{
  struct stat status;
  uint64_t expected, found;
  if (fstat (fileno (stream), &status) != 0 || status.st_size < (off_t)(sizeof (Head) + sizeof expected))
    return false;
  *size = (uint64_t)status.st_size - sizeof expected;
  return hash_file (stream, *size, &found) && fread (&expected, sizeof expected, 1, stream) == 1 && expected == found;
}

static bool
read_all (FILE *stream, const RagifyUuid *store, const char *name, uint32_t dimension, RagifySnapshot *snapshot,
          RagifyFault *fault)
{
  Head head;
  uint64_t size;
  if (!check_hash (stream, &size) || fseek (stream, 0, SEEK_SET) != 0 || fread (&head, sizeof head, 1, stream) != 1 ||
      !check_head (&head, store, name, dimension) || head.count > size / sizeof (RagifyIndexEntry))
    return ragify_fault_set (fault, RAGIFY_E_INTERNAL, "it is damaged, or of other settings");
  snapshot->count = head.count;
  snapshot->entries = malloc ((head.count + 1) * sizeof *snapshot->entries);
  if (snapshot->entries == NULL)
    return ragify_fault_memory (fault);
  if (fread (snapshot->entries, sizeof *snapshot->entries, head.count, stream) != head.count)
    return ragify_fault_set (fault, RAGIFY_E_INTERNAL, "it cannot be read: %s", strerror (errno));
  snapshot->approximate = ragify_approximate_read (stream, dimension, fault);
  if (snapshot->approximate == NULL)
    return false;
  return ragify_approximate_count (snapshot->approximate) == head.count ||
         ragify_fault_set (fault, RAGIFY_E_INTERNAL, "its rows and chunks do not agree");
}

bool
ragify_snapshot_read (const char *folder, const RagifyUuid *store, const char *name, uint32_t dimension,
                      RagifySnapshot *snapshot, RagifyFault *fault)
{
  char path[4200];
  make_path (folder, "index.snapshot", path, sizeof path);
  FILE *stream = fopen (path, "rbe");
  if (stream == NULL)
    return ragify_fault_set (fault, errno == ENOENT ? RAGIFY_E_NOT_FOUND : RAGIFY_E_UNAVAILABLE, "%.300s: %s", path,
                             strerror (errno));
  *snapshot = (RagifySnapshot){ 0 };
  bool ok = read_all (stream, store, name, dimension, snapshot, fault);
  (void)fclose (stream);
  if (!ok)
    ragify_snapshot_clear (snapshot);
  return ok;
}

/* The rest of the file piece by piece, with the hash of what is written at its end. */
static bool
copy_rest (FILE *source, FILE *target, uint64_t left, XXH3_state_t *state)
{
  char *piece = malloc (HASH_PIECE);
  bool ok = piece != NULL;
  while (ok && left > 0) {
    size_t part = left < HASH_PIECE ? (size_t)left : HASH_PIECE;
    ok = fread (piece, 1, part, source) == part && fwrite (piece, 1, part, target) == part &&
         XXH3_64bits_update (state, piece, part) == XXH_OK;
    left -= part;
  }
  free (piece);
  const uint64_t hash = ok ? XXH3_64bits_digest (state) : 0;
  return ok && fwrite (&hash, sizeof hash, 1, target) == 1 && fflush (target) == 0;
}

static bool
copy_as (FILE *source, FILE *target, uint64_t size, const RagifyUuid *store)
{
  Head head;
  XXH3_state_t *state = XXH3_createState ();
  bool ok = state != NULL && XXH3_64bits_reset (state) == XXH_OK && fseek (source, 0, SEEK_SET) == 0 &&
            fread (&head, sizeof head, 1, source) == 1;
  if (ok) {
    head.store = *store;
    ok = XXH3_64bits_update (state, &head, sizeof head) == XXH_OK && fwrite (&head, sizeof head, 1, target) == 1 &&
         copy_rest (source, target, size - sizeof head, state);
  }
  (void)XXH3_freeState (state);
  return ok;
}

bool
ragify_snapshot_copy (const char *from, const char *to, const RagifyUuid *store, RagifyFault *fault)
{
  char path[4200];
  uint64_t size;
  make_path (from, "index.snapshot", path, sizeof path);
  FILE *source = fopen (path, "rbe");
  if (source == NULL)
    return errno == ENOENT || fail (fault, path, errno);
  bool ok = true;
  if (check_hash (source, &size)) {
    make_path (to, "index.snapshot", path, sizeof path);
    FILE *target = fopen (path, "wbxe");
    ok = target != NULL && copy_as (source, target, size, store);
    if (!ok)
      (void)fail (fault, path, errno);
    if (target != NULL)
      (void)fclose (target);
  }
  (void)fclose (source);
  return ok;
}

void
ragify_snapshot_remove (const char *folder)
{
  char path[4200];
  make_path (folder, "index.snapshot", path, sizeof path);
  (void)unlink (path);
}

void
ragify_snapshot_clear (RagifySnapshot *snapshot)
{
  ragify_approximate_free (snapshot->approximate);
  free (snapshot->entries);
  *snapshot = (RagifySnapshot){ 0 };
}
