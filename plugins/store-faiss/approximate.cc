#include "approximate-private.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <numeric>

#include <omp.h>

#include <faiss/IndexFlatCodes.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVF.h>
#include <faiss/impl/IDSelector.h>
#include <faiss/impl/zerocopy_io.h>
#include <faiss/index_factory.h>
#include <faiss/index_io.h>

namespace {

struct Codes {
  const uint8_t *bytes;
  uint64_t size;
};

/* The largest piece of what FAISS itself keeps: the rows; of an IVF index, whose lists are ours, the centroids. */
Codes
codes_of (const faiss::Index &index)
{
  const faiss::Index *kept = &index;
  if (const auto *graph = dynamic_cast<const faiss::IndexHNSW *> (kept))
    kept = graph->storage;
  if (const auto *ivf = dynamic_cast<const faiss::IndexIVF *> (kept))
    kept = ivf->quantizer;
  const auto *codes = dynamic_cast<const faiss::IndexFlatCodes *> (kept);
  return codes == nullptr ? Codes{ nullptr, 0 } : Codes{ codes->codes.data (), codes->codes.size () };
}

} // namespace

void
ragify::use_one_thread ()
{
  omp_set_num_threads (1);
}

bool
ragify::explain (RagifyFault *fault)
{
  try {
    throw;
  } catch (const std::bad_alloc &) {
    return ragify_fault_memory (fault);
  } catch (const std::exception &error) {
    return ragify_fault_set (fault, RAGIFY_E_INTERNAL, "FAISS: %.400s", error.what ());
  }
}

bool
ragify_approximate_available (RagifyFault *)
{
  return true;
}

RagifyApproximate *
ragify_approximate_new (const char *name, uint32_t dimension, const float *sample, size_t count, RagifyFault *fault)
{
  try {
    ragify::use_one_thread ();
    auto approximate = std::make_unique<RagifyApproximate> ();
    approximate->index.reset (faiss::index_factory (static_cast<int> (dimension), name, faiss::METRIC_INNER_PRODUCT));
    approximate->index->train (static_cast<faiss::idx_t> (count), sample);
    return approximate.release ();
  } catch (...) {
    ragify::explain (fault);
    return nullptr;
  }
}

void
ragify_approximate_free (RagifyApproximate *approximate)
{
  delete approximate;
}

bool
ragify_approximate_add (RagifyApproximate *approximate, const float *vectors, size_t count, RagifyFault *fault)
{
  try {
    ragify::use_one_thread ();
    approximate->index->add (static_cast<faiss::idx_t> (count), vectors);
    return true;
  } catch (...) {
    return ragify::explain (fault);
  }
}

bool
ragify_approximate_finish (RagifyApproximate *approximate, uint64_t *order, RagifyFault *fault)
{
  try {
    auto *ivf = dynamic_cast<faiss::IndexIVF *> (approximate->index.get ());
    if (ivf == nullptr) {
      std::iota (order, order + approximate->index->ntotal, 0);
      return true;
    }
    auto lists = std::make_unique<ragify::Lists> (dynamic_cast<faiss::ArrayInvertedLists &> (*ivf->invlists), order);
    approximate->lists = lists.get ();
    ivf->replace_invlists (lists.release (), true);
    return true;
  } catch (...) {
    return ragify::explain (fault);
  }
}

uint64_t
ragify_approximate_count (const RagifyApproximate *approximate)
{
  return static_cast<uint64_t> (approximate->index->ntotal);
}

uint64_t
ragify_approximate_bytes (const RagifyApproximate *approximate)
{
  const faiss::Index &index = *approximate->index;
  const auto *graph = dynamic_cast<const faiss::IndexHNSW *> (&index);
  uint64_t bytes = codes_of (index).size;
  if (graph != nullptr)
    bytes += graph->hnsw.neighbors.size () * sizeof (graph->hnsw.neighbors[0]) +
             graph->hnsw.offsets.size () * sizeof (graph->hnsw.offsets[0]);
  if (approximate->lists != nullptr)
    bytes += approximate->lists->count () * approximate->lists->code_size;
  return bytes;
}

bool
ragify_approximate_row (const RagifyApproximate *approximate, uint64_t row, float *vector, RagifyFault *fault)
{
  try {
    if (approximate->lists != nullptr) {
      const auto [list, place] = approximate->lists->find (row);
      dynamic_cast<const faiss::IndexIVF &> (*approximate->index).reconstruct_from_offset (list, place, vector);
    } else {
      approximate->index->reconstruct (static_cast<faiss::idx_t> (row), vector);
    }
    return true;
  } catch (...) {
    return ragify::explain (fault);
  }
}

/* ---- to and from a file ---- */

namespace {

/* In front of what FAISS writes: the lists of an IVF index, which it does not get to see. */
struct Layout {
  uint64_t lists; /* 0: not an IVF index */
  uint64_t code_size;
  uint64_t codes_at; /* from the layout on, as the next */
  uint64_t index_at;
};

constexpr uint64_t
align (uint64_t place)
{
  return (place + RAGIFY_APPROXIMATE_ALIGNMENT - 1) / RAGIFY_APPROXIMATE_ALIGNMENT * RAGIFY_APPROXIMATE_ALIGNMENT;
}

/* Finds out where in FAISS's bytes a certain piece comes to lie. */
struct Rehearsal : faiss::IOWriter {
  const void *piece;
  uint64_t written = 0, piece_at = 0;

  explicit Rehearsal (const void *which) : piece (which)
  {
  }
  size_t operator() (const void *bytes, size_t size, size_t count) override
  {
    if (bytes == piece)
      piece_at = written;
    written += size * count;
    return count;
  }
};

/* FAISS writes an index without its lists, which are put back. */
class Unlisted {
public:
  explicit Unlisted (const RagifyApproximate &approximate)
      : ivf (dynamic_cast<faiss::IndexIVF *> (approximate.index.get ()))
  {
    if (ivf == nullptr)
      return;
    empty = std::make_unique<faiss::ArrayInvertedLists> (ivf->nlist, ivf->code_size);
    kept = ivf->invlists;
    ivf->invlists = empty.get ();
  }
  ~Unlisted ()
  {
    if (ivf != nullptr)
      ivf->invlists = kept;
  }
  Unlisted (const Unlisted &) = delete;
  Unlisted &operator= (const Unlisted &) = delete;

private:
  faiss::IndexIVF *ivf;
  faiss::InvertedLists *kept = nullptr;
  std::unique_ptr<faiss::ArrayInvertedLists> empty;
};

/* So that the codes lie well for the processor where the file is mapped. */
Layout
plan (const RagifyApproximate &approximate)
{
  Layout layout = {};
  Rehearsal rehearsal (codes_of (*approximate.index).bytes);
  faiss::write_index (approximate.index.get (), &rehearsal);
  uint64_t end = align (sizeof layout);
  if (approximate.lists != nullptr) {
    layout.lists = approximate.lists->nlist;
    layout.code_size = approximate.lists->code_size;
    layout.codes_at = align (sizeof layout + layout.lists * sizeof (uint64_t));
    end = align (layout.codes_at + approximate.lists->count () * layout.code_size);
  }
  const uint64_t over = rehearsal.piece_at % RAGIFY_APPROXIMATE_ALIGNMENT;
  layout.index_at = end + (RAGIFY_APPROXIMATE_ALIGNMENT - over) % RAGIFY_APPROXIMATE_ALIGNMENT;
  return layout;
}

bool
fill_up (FILE *stream, uint64_t from, uint64_t to)
{
  static const char zeros[2 * RAGIFY_APPROXIMATE_ALIGNMENT] = {};
  return fwrite (zeros, 1, to - from, stream) == to - from;
}

bool
write_lists (const ragify::Lists &lists, const Layout &layout, FILE *stream)
{
  for (uint64_t list = 0; list < layout.lists; list++) {
    const uint64_t count = lists.list_size (list);
    if (fwrite (&count, sizeof count, 1, stream) != 1)
      return false;
  }
  const uint64_t size = lists.count () * layout.code_size;
  return fill_up (stream, sizeof layout + layout.lists * sizeof (uint64_t), layout.codes_at) &&
         fwrite (lists.bytes (), 1, size, stream) == size && fill_up (stream, layout.codes_at + size, layout.index_at);
}

bool
check_dimension (const faiss::Index &index, uint32_t dimension, RagifyFault *fault)
{
  return index.d == static_cast<int> (dimension) ||
         ragify_fault_set (fault, RAGIFY_E_INTERNAL, "expected dimension %u, found %d", dimension, index.d);
}

/* Gives a mapped index its lists. */
bool
attach_lists (RagifyApproximate &approximate, const uint8_t *begin, const Layout &layout, RagifyFault *fault)
{
  auto *ivf = dynamic_cast<faiss::IndexIVF *> (approximate.index.get ());
  if (ivf == nullptr)
    return layout.lists == 0 || ragify_fault_set (fault, RAGIFY_E_INTERNAL, "it has lists that no index wants");
  if (ivf->nlist != layout.lists || ivf->code_size != layout.code_size)
    return ragify_fault_set (fault, RAGIFY_E_INTERNAL, "its lists are those of another index");
  auto lists = std::make_unique<ragify::Lists> (layout.lists, layout.code_size,
                                                reinterpret_cast<const uint64_t *> (begin + sizeof layout),
                                                begin + layout.codes_at);
  if (lists->count () != static_cast<uint64_t> (ivf->ntotal) ||
      layout.codes_at + lists->count () * layout.code_size > layout.index_at)
    return ragify_fault_set (fault, RAGIFY_E_INTERNAL, "its lists do not have its rows");
  approximate.lists = lists.get ();
  ivf->replace_invlists (lists.release (), true);
  return true;
}

} // namespace

bool
ragify_approximate_write (const RagifyApproximate *approximate, FILE *stream, RagifyFault *fault)
{
  try {
    const Unlisted unlisted (*approximate);
    const Layout layout = plan (*approximate);
    const bool ok = fwrite (&layout, sizeof layout, 1, stream) == 1 &&
                    (approximate->lists != nullptr ? write_lists (*approximate->lists, layout, stream)
                                                   : fill_up (stream, sizeof layout, layout.index_at));
    if (!ok)
      return ragify_fault_set (fault, errno == ENOSPC || errno == EDQUOT ? RAGIFY_E_EXHAUSTED : RAGIFY_E_UNAVAILABLE,
                               "the index cannot be written: %s", strerror (errno));
    faiss::write_index (approximate->index.get (), stream);
    return true;
  } catch (...) {
    return ragify::explain (fault);
  }
}

RagifyApproximate *
ragify_approximate_map (RagifyMapping *mapping, size_t offset, uint32_t dimension, RagifyFault *fault)
{
  try {
    ragify::use_one_thread ();
    Layout layout;
    const uint8_t *begin = mapping->bytes + offset;
    const size_t size = mapping->size - offset;
    memcpy (&layout, begin, sizeof layout);
    if (layout.index_at > size || layout.lists > size / sizeof (uint64_t)) {
      ragify_fault_set (fault, RAGIFY_E_INTERNAL, "its parts do not lie within it");
      return nullptr;
    }
    auto approximate = std::make_unique<RagifyApproximate> ();
    faiss::ZeroCopyIOReader reader (begin + layout.index_at, size - layout.index_at);
    approximate->index.reset (faiss::read_index (&reader));
    if (!check_dimension (*approximate->index, dimension, fault) || !attach_lists (*approximate, begin, layout, fault))
      return nullptr;
    approximate->mapping = *mapping;
    *mapping = {};
    return approximate.release ();
  } catch (...) {
    ragify::explain (fault);
    return nullptr;
  }
}

RagifyApproximate *
ragify_approximate_read (FILE *stream, uint32_t dimension, RagifyFault *fault)
{
  try {
    ragify::use_one_thread ();
    auto approximate = std::make_unique<RagifyApproximate> ();
    approximate->index.reset (faiss::read_index (stream));
    return check_dimension (*approximate->index, dimension, fault) ? approximate.release () : nullptr;
  } catch (...) {
    ragify::explain (fault);
    return nullptr;
  }
}
