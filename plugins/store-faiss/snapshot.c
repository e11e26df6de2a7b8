#include "snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define FORMAT 2u
#define HASH_PIECE (1u << 20)

/* The file: this head; for each row the id of its chunk, the chunk's number, the number of its metadata; the index at a
 * multiple of its alignment; and the hash of all that. In format 1 an entry of the three stood together, the index lay
 * right behind them, and was all FAISS's. */
typedef struct {
  char magic[8];
  uint32_t format;
  uint32_t dimension;
  uint64_t count;
  uint64_t entry_size;
  RagifyUuid store;
  char name[RAGIFY_APPROXIMATE_NAME];
} Head;

#define ENTRY_SIZE (sizeof (RagifyUuid) + sizeof (uint64_t) + sizeof (uint32_t))

/* Of format 1. */
typedef struct {
  RagifyUuid id;
  uint64_t chunk;
  uint64_t metadata;
} FormerEntry;

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

static size_t
index_at (uint64_t count)
{
  const size_t alignment = RAGIFY_APPROXIMATE_ALIGNMENT;
  return (sizeof (Head) + count * ENTRY_SIZE + alignment - 1) / alignment * alignment;
}

static bool
write_rows (FILE *stream, const Head *head, const RagifyBase *base)
{
  static const char zeros[RAGIFY_APPROXIMATE_ALIGNMENT];
  const size_t gap = index_at (base->count) - sizeof *head - base->count * ENTRY_SIZE;
  return fwrite (head, sizeof *head, 1, stream) == 1 &&
         fwrite (base->ids, sizeof *base->ids, base->count, stream) == base->count &&
         fwrite (base->chunks, sizeof *base->chunks, base->count, stream) == base->count &&
         fwrite (base->metadata, sizeof *base->metadata, base->count, stream) == base->count &&
         fwrite (zeros, 1, gap, stream) == gap;
}

static bool
write_all (FILE *stream, const char *path, const Head *head, const RagifyBase *base, RagifyFault *fault)
{
  uint64_t hash;
  if (!write_rows (stream, head, base))
    return fail (fault, path, errno);
  if (!ragify_approximate_write (base->approximate, stream, fault))
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
                       const RagifyBase *base, RagifyFault *fault)
{
  char path[4200], fresh[4200];
  Head head = {
    .format = FORMAT, .dimension = dimension, .count = base->count, .entry_size = ENTRY_SIZE, .store = *store
  };
  memcpy (head.magic, magic, sizeof magic);
  (void)snprintf (head.name, sizeof head.name, "%s", name);
  make_path (folder, "index.snapshot", path, sizeof path);
  make_path (folder, "index.snapshot.new", fresh, sizeof fresh);
  FILE *stream = fopen (fresh, "w+be");
  if (stream == NULL)
    return fail (fault, fresh, errno);
  bool ok = write_all (stream, fresh, &head, base, fault);
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
  const size_t entry = head->format == FORMAT ? ENTRY_SIZE : sizeof (FormerEntry);
  return memcmp (head->magic, magic, sizeof magic) == 0 && head->format >= 1 && head->format <= FORMAT &&
         head->dimension == dimension && head->entry_size == entry &&
         memcmp (&head->store, store, sizeof *store) == 0 && strncmp (head->name, name, sizeof head->name) == 0;
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
agree (const RagifyBase *base, RagifyFault *fault)
{
  return ragify_approximate_count (base->approximate) == base->count ||
         ragify_fault_set (fault, RAGIFY_E_INTERNAL, "its rows and chunks do not agree");
}

/* What a search needs at random is copied, the rest stays in the file. */
static bool
map_all (FILE *stream, const Head *head, uint64_t size, RagifyBase *base, RagifyFault *fault)
{
  RagifyMapping mapping;
  const size_t chunks_at = sizeof *head + head->count * sizeof *base->ids;
  const size_t metadata_at = chunks_at + head->count * sizeof *base->chunks, past = index_at (head->count);
  if (past > size || !ragify_base_init (base, head->count, fault))
    return past <= size ? false : ragify_fault_set (fault, RAGIFY_E_INTERNAL, "it is shorter than it says");
  if (!ragify_mapping_open (&mapping, fileno (stream), size))
    return ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "it cannot be mapped: %s", strerror (errno));
  const uint8_t *bytes = mapping.bytes;
  base->count = head->count;
  base->approximate = ragify_approximate_map (&mapping, past, head->dimension, fault);
  if (base->approximate == NULL) {
    ragify_mapping_close (&mapping);
    return false;
  }
  memcpy (base->ids, bytes + sizeof *head, chunks_at - sizeof *head);
  memcpy (base->metadata, bytes + metadata_at, head->count * sizeof *base->metadata);
  free (base->own_chunks);
  base->own_chunks = NULL;
  base->chunks = (const uint64_t *)(const void *)(bytes + chunks_at);
  ragify_mapping_leave (bytes, past);
  return agree (base, fault);
}

/* Reads format 1. */
static bool
read_former (FILE *stream, const Head *head, RagifyBase *base, RagifyFault *fault)
{
  uint64_t *order = malloc ((head->count + 1) * sizeof *order);
  bool ok = order != NULL ? ragify_base_init (base, head->count, fault) : ragify_fault_memory (fault);
  for (; ok && base->count < head->count; base->count++) {
    FormerEntry entry;
    ok = fread (&entry, sizeof entry, 1, stream) == 1 ||
         ragify_fault_set (fault, RAGIFY_E_INTERNAL, "it cannot be read: %s", strerror (errno));
    base->ids[base->count] = entry.id;
    base->own_chunks[base->count] = entry.chunk;
    base->metadata[base->count] = (uint32_t)entry.metadata;
  }
  ok = ok && (base->approximate = ragify_approximate_read (stream, head->dimension, fault)) != NULL &&
       agree (base, fault) && ragify_approximate_finish (base->approximate, order, fault) &&
       ragify_base_reorder (base, order, fault);
  free (order);
  return ok;
}

static bool
read_all (FILE *stream, const RagifyUuid *store, const char *name, uint32_t dimension, RagifyBase *base,
          uint32_t *format, RagifyFault *fault)
{
  Head head;
  uint64_t size;
  if (!check_hash (stream, &size) || fseek (stream, 0, SEEK_SET) != 0 || fread (&head, sizeof head, 1, stream) != 1 ||
      !check_head (&head, store, name, dimension) || head.count > size / head.entry_size)
    return ragify_fault_set (fault, RAGIFY_E_INTERNAL, "it is damaged, or of other settings");
  *format = head.format;
  return head.format == FORMAT ? map_all (stream, &head, size, base, fault) : read_former (stream, &head, base, fault);
}

static bool
read_file (const char *folder, const RagifyUuid *store, const char *name, uint32_t dimension, RagifyBase *base,
           uint32_t *format, RagifyFault *fault)
{
  char path[4200];
  make_path (folder, "index.snapshot", path, sizeof path);
  FILE *stream = fopen (path, "rbe");
  if (stream == NULL)
    return ragify_fault_set (fault, errno == ENOENT ? RAGIFY_E_NOT_FOUND : RAGIFY_E_UNAVAILABLE, "%.300s: %s", path,
                             strerror (errno));
  *base = (RagifyBase){ 0 };
  bool ok = read_all (stream, store, name, dimension, base, format, fault);
  (void)fclose (stream);
  if (!ok)
    ragify_base_clear (base);
  return ok;
}

bool
ragify_snapshot_read (const char *folder, const RagifyUuid *store, const char *name, uint32_t dimension,
                      RagifyBase *base, RagifyFault *fault)
{
  uint32_t format;
  RagifyBase fresh;
  if (!read_file (folder, store, name, dimension, base, &format, fault))
    return false;
  if (format == FORMAT || !ragify_snapshot_write (folder, store, name, dimension, base, fault) ||
      !read_file (folder, store, name, dimension, &fresh, &format, fault))
    return true;
  ragify_base_clear (base);
  *base = fresh;
  return true;
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
