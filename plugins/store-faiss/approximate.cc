#include "approximate.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <memory>
#include <new>

#include <omp.h>

#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVF.h>
#include <faiss/impl/IDSelector.h>
#include <faiss/index_factory.h>
#include <faiss/index_io.h>

struct RagifyApproximate {
  std::unique_ptr<faiss::Index> index;
};

namespace {

/* FAISS would start a thread for each core: the host decides how many threads work, so each call has one. */
void
use_one_thread ()
{
  omp_set_num_threads (1);
}

/* What was thrown, as a fault. */
bool
explain (RagifyFault *fault)
{
  try {
    throw;
  } catch (const std::bad_alloc &) {
    return ragify_fault_memory (fault);
  } catch (const std::exception &error) {
    return ragify_fault_set (fault, RAGIFY_E_INTERNAL, "FAISS: %.400s", error.what ());
  }
}

/* Below this share a graph's way leads past too few of the allowed rows, and looking at just those costs less. */
constexpr double graph_share = 0.1;

/* What differs from kind to kind in a search. The rest of what is read is passed over by a look at a bit; so where a
 * share of 1 % is allowed, ten times the lists are read, and a tenth of the scores of an unfiltered search computed. */
std::unique_ptr<faiss::SearchParameters>
make_parameters (const faiss::Index &index, const RagifyApproximateTuning &tuning, uint32_t wanted, double share)
{
  const auto *ivf = dynamic_cast<const faiss::IndexIVF *> (&index);
  if (ivf != nullptr) {
    auto parameters = std::make_unique<faiss::SearchParametersIVF> ();
    const double further = tuning.nprobe / std::sqrt (share);
    const bool all = tuning.exact || further >= static_cast<double> (ivf->nlist);
    parameters->nprobe = all ? ivf->nlist : static_cast<std::size_t> (std::ceil (further));
    return parameters;
  }
  if (dynamic_cast<const faiss::IndexHNSW *> (&index) != nullptr) {
    auto parameters = std::make_unique<faiss::SearchParametersHNSW> ();
    const double kept = std::max (tuning.ef_search, wanted) / std::sqrt (share);
    parameters->efSearch = static_cast<int> (std::ceil (kept));
    return parameters;
  }
  return std::make_unique<faiss::SearchParameters> ();
}

} // namespace

bool
ragify_approximate_available (RagifyFault *)
{
  return true;
}

RagifyApproximate *
ragify_approximate_new (const char *name, uint32_t dimension, const float *sample, size_t count, RagifyFault *fault)
{
  try {
    use_one_thread ();
    auto approximate = std::make_unique<RagifyApproximate> ();
    approximate->index.reset (faiss::index_factory (static_cast<int> (dimension), name, faiss::METRIC_INNER_PRODUCT));
    approximate->index->train (static_cast<faiss::idx_t> (count), sample);
    return approximate.release ();
  } catch (...) {
    explain (fault);
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
    use_one_thread ();
    approximate->index->add (static_cast<faiss::idx_t> (count), vectors);
    return true;
  } catch (...) {
    return explain (fault);
  }
}

bool
ragify_approximate_finish (RagifyApproximate *approximate, RagifyFault *fault)
{
  try {
    auto *ivf = dynamic_cast<faiss::IndexIVF *> (approximate->index.get ());
    if (ivf != nullptr)
      ivf->make_direct_map ();
    return true;
  } catch (...) {
    return explain (fault);
  }
}

uint64_t
ragify_approximate_count (const RagifyApproximate *approximate)
{
  return static_cast<uint64_t> (approximate->index->ntotal);
}

bool
ragify_approximate_search (const RagifyApproximate *approximate, const float *query, uint32_t wanted,
                           const uint8_t *allowed, uint64_t allowed_count, const RagifyApproximateTuning *tuning,
                           float *scores, int64_t *rows, uint32_t *found, RagifyFault *fault)
{
  *found = 0;
  if (allowed_count == 0)
    return true;
  try {
    use_one_thread ();
    const faiss::Index &index = *approximate->index;
    const double share = static_cast<double> (allowed_count) / static_cast<double> (index.ntotal);
    faiss::IDSelectorBitmap selector (static_cast<size_t> (index.ntotal + 7) / 8, allowed);
    const auto *graph = dynamic_cast<const faiss::IndexHNSW *> (&index);
    const bool past_the_graph = graph != nullptr && (tuning->exact || share < graph_share);
    const faiss::Index &searched = past_the_graph ? *graph->storage : index;
    auto parameters = make_parameters (searched, *tuning, wanted, share);
    if (allowed_count < static_cast<uint64_t> (index.ntotal)) /* asking it for each row costs a tenth of a search */
      parameters->sel = &selector;
    static_assert (sizeof (faiss::idx_t) == sizeof (int64_t));
    searched.search (1, query, wanted, scores, rows, parameters.get ());
    uint32_t count = 0;
    while (count < wanted && rows[count] >= 0)
      count++;
    *found = count;
    return true;
  } catch (...) {
    return explain (fault);
  }
}

bool
ragify_approximate_row (const RagifyApproximate *approximate, uint64_t row, float *vector, RagifyFault *fault)
{
  try {
    approximate->index->reconstruct (static_cast<faiss::idx_t> (row), vector);
    return true;
  } catch (...) {
    return explain (fault);
  }
}

bool
ragify_approximate_write (const RagifyApproximate *approximate, FILE *stream, RagifyFault *fault)
{
  try {
    faiss::write_index (approximate->index.get (), stream);
    return true;
  } catch (...) {
    return explain (fault);
  }
}

RagifyApproximate *
ragify_approximate_read (FILE *stream, uint32_t dimension, RagifyFault *fault)
{
  try {
    use_one_thread ();
    auto approximate = std::make_unique<RagifyApproximate> ();
    approximate->index.reset (faiss::read_index (stream));
    if (approximate->index->d != static_cast<int> (dimension)) {
      ragify_fault_set (fault, RAGIFY_E_INTERNAL, "expected dimension %u, found %d", dimension, approximate->index->d);
      return nullptr;
    }
    return ragify_approximate_finish (approximate.get (), fault) ? approximate.release () : nullptr;
  } catch (...) {
    explain (fault);
    return nullptr;
  }
}
