#include "former-snapshot.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <faiss/IndexIVF.h>
#include <faiss/impl/io.h>
#include <faiss/index_io.h>
#include <xxhash.h>

namespace {

constexpr size_t ALIGNMENT = 64;

struct Head {
  char magic[8];
  uint32_t format, dimension;
  uint64_t count, entry_size;
  uint8_t store[16];
  char name[64];
};

struct Layout {
  uint64_t lists, code_size, codes_at, index_at;
};

struct Entry {
  uint8_t id[16];
  uint64_t chunk, metadata;
};

[[noreturn]] void
give_up (const std::string &what)
{
  fprintf (stderr, "former-snapshot: %s\n", what.c_str ());
  exit (1);
}

std::vector<uint8_t>
read_file (const char *path)
{
  std::vector<uint8_t> bytes;
  uint8_t piece[65536];
  FILE *file = fopen (path, "rb");
  if (file == nullptr)
    give_up (path);
  for (size_t got; (got = fread (piece, 1, sizeof piece, file)) > 0;)
    bytes.insert (bytes.end (), piece, piece + got);
  fclose (file);
  return bytes;
}

/* Where a row of today is in the former file: any order will do that is not today's. */
uint64_t
former_row (uint64_t row, uint64_t count)
{
  return count - 1 - row;
}

std::vector<Entry>
make_entries (const uint8_t *rows, uint64_t count)
{
  std::vector<Entry> entries (count);
  for (uint64_t row = 0; row < count; row++) {
    Entry &entry = entries[former_row (row, count)];
    uint32_t metadata;
    memcpy (entry.id, rows + row * 16, 16);
    memcpy (&entry.chunk, rows + count * 16 + row * 8, 8);
    memcpy (&metadata, rows + count * 24 + row * 4, 4);
    entry.metadata = metadata;
  }
  return entries;
}

std::unique_ptr<faiss::Index>
make_index (const std::vector<uint8_t> &bytes, uint64_t count)
{
  Layout layout;
  const size_t begin = (sizeof (Head) + count * 28 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  memcpy (&layout, &bytes[begin], sizeof layout);
  faiss::VectorIOReader reader;
  reader.data.assign (bytes.begin () + static_cast<long> (begin + layout.index_at), bytes.end ());
  std::unique_ptr<faiss::Index> index (faiss::read_index (&reader));
  auto &ivf = dynamic_cast<faiss::IndexIVF &> (*index);
  const uint8_t *codes = &bytes[begin + layout.codes_at];
  uint64_t row = 0;
  for (uint64_t list = 0; list < layout.lists; list++) {
    uint64_t rows;
    memcpy (&rows, &bytes[begin + sizeof layout + list * sizeof rows], sizeof rows);
    for (uint64_t i = 0; i < rows; i++, row++)
      ivf.invlists->add_entry (list, static_cast<faiss::idx_t> (former_row (row, count)),
                               codes + row * layout.code_size);
  }
  return index;
}

} // namespace

void
former_snapshot_write (const char *path)
{
  const std::vector<uint8_t> bytes = read_file (path);
  Head head;
  memcpy (&head, bytes.data (), sizeof head);
  if (head.format != 2)
    give_up ("it is not of format 2");
  faiss::VectorIOWriter writer;
  faiss::write_index (make_index (bytes, head.count).get (), &writer);
  const std::vector<Entry> entries = make_entries (&bytes[sizeof head], head.count);
  head.format = 1;
  head.entry_size = sizeof (Entry);
  std::vector<uint8_t> former (sizeof head + entries.size () * sizeof (Entry));
  memcpy (former.data (), &head, sizeof head);
  memcpy (&former[sizeof head], entries.data (), entries.size () * sizeof (Entry));
  former.insert (former.end (), writer.data.begin (), writer.data.end ());
  const uint64_t hash = XXH3_64bits (former.data (), former.size ());
  FILE *file = fopen (path, "wb");
  if (file == nullptr || fwrite (former.data (), 1, former.size (), file) != former.size () ||
      fwrite (&hash, sizeof hash, 1, file) != 1 || fclose (file) != 0)
    give_up ("it cannot be written");
}
