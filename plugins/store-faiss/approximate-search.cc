#include "approximate-private.h"

#include "top.h"
#include "words.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <vector>

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVF.h>
#include <faiss/impl/DistanceComputer.h>
#include <faiss/impl/IDSelector.h>
#include <faiss/utils/Heap.h>
#include <faiss/utils/distances.h>

namespace {

static_assert (sizeof (faiss::idx_t) == sizeof (int64_t));

/* What one search works with. */
struct Search {
  const RagifyApproximate &approximate;
  const float *query;
  uint32_t wanted;
  const uint64_t *allowed;
  uint64_t allowed_count;
  const RagifyApproximateTuning &tuning;
  float *scores;
  int64_t *rows;

  uint64_t total () const
  {
    return static_cast<uint64_t> (approximate.index->ntotal);
  }
  double share () const
  {
    return static_cast<double> (allowed_count) / static_cast<double> (total ());
  }
  bool all () const
  {
    return allowed_count == total ();
  }
};

/* The best rows so far, as FAISS keeps them. */
class Best {
public:
  explicit Best (const Search &from) : wanted (from.wanted), scores (from.scores), rows (from.rows)
  {
    faiss::minheap_heapify (wanted, scores, rows);
  }
  void take (float score, uint64_t row)
  {
    if (score > scores[0])
      faiss::minheap_replace_top (wanted, scores, rows, score, static_cast<int64_t> (row));
  }
  void finish ()
  {
    faiss::minheap_reorder (wanted, scores, rows);
  }

private:
  size_t wanted;
  float *scores;
  int64_t *rows;
};

/* The numbers of a set from `first` up to, but without, `past`, into `numbers`. */
void
list_set (const uint64_t *words, uint64_t first, uint64_t past, std::vector<uint64_t> &numbers)
{
  numbers.clear ();
  for (uint64_t word = first / 64; word * 64 < past; word++) {
    uint64_t bits = words[word];
    if (word == first / 64)
      bits &= ~UINT64_C (0) << first % 64;
    if (past - word * 64 < 64)
      bits &= (UINT64_C (1) << (past - word * 64)) - 1;
    for (; bits != 0; bits &= bits - 1)
      numbers.push_back (word * 64 + static_cast<uint64_t> (__builtin_ctzll (bits)));
  }
}

constexpr size_t ahead = 4;       /* rows on their way from memory while others are scored */
constexpr size_t cache_line = 64; /* bytes */

/* Scores the rows of a list of numbers, whose codes of so many bytes lie one after the other. */
template <typename Score>
void
score_rows (const std::vector<uint64_t> &numbers, const uint8_t *codes, size_t size, Best &best, Score score)
{
  for (size_t i = 0; i < numbers.size (); i++) {
    if (i + ahead < numbers.size ())
      for (size_t at = 0; at < size; at += cache_line)
        __builtin_prefetch (codes + numbers[i + ahead] * size + at);
    best.take (score (codes + numbers[i] * size), numbers[i]);
  }
}

/* ---- lists ---- */

/* The lists of an IVF index with their scores, from the nearest on, sorted as far as they are asked for. */
class NearestLists {
public:
  NearestLists (const faiss::IndexIVF &ivf, const float *query, size_t at_once)
      : scores (ivf.nlist), keys (ivf.nlist), step (std::max<size_t> (at_once, 16))
  {
    const auto &centroids = dynamic_cast<const faiss::IndexFlat &> (*ivf.quantizer);
    faiss::fvec_inner_products_ny (scores.data (), query, centroids.get_xb (), static_cast<size_t> (ivf.d), ivf.nlist);
    for (size_t list = 0; list < ivf.nlist; list++)
      keys[list] = ragify_top_key (scores[list], static_cast<uint32_t> (list));
  }
  size_t size () const
  {
    return keys.size ();
  }
  float score (size_t list) const
  {
    return scores[list];
  }
  size_t at (size_t rank)
  {
    if (rank == sorted) {
      const auto begin = keys.begin () + static_cast<ptrdiff_t> (sorted);
      const size_t more = std::min (step, keys.size () - sorted);
      const auto end = begin + static_cast<ptrdiff_t> (more);
      if (end != keys.end ())
        std::nth_element (begin, end, keys.end ());
      std::sort (begin, end);
      sorted += more;
    }
    return ragify_top_number (keys[rank]);
  }

private:
  std::vector<float> scores;
  std::vector<uint64_t> keys;
  size_t step, sorted = 0;
};

/* Of how many rows an unfiltered search computes the score. */
double
rows_unfiltered (const Search &search, const faiss::IndexIVF &ivf)
{
  return static_cast<double> (search.total ()) *
         std::min<double> (search.tuning.nprobe, static_cast<double> (ivf.nlist)) / static_cast<double> (ivf.nlist);
}

/* List by list, the nearest first; lists without an allowed row cost and count nothing. Where a share s of the rows is
 * allowed, an unfiltered search's rows × √s are scored, for which 1/√s times its lists are read where the filter has
 * nothing to do with the query, and as many as it takes where it has; never fewer than `nprobe`. */
void
search_lists (const Search &search, bool all)
{
  const auto &ivf = dynamic_cast<const faiss::IndexIVF &> (*search.approximate.index);
  const ragify::Lists &lists = *search.approximate.lists;
  const double goal = rows_unfiltered (search, ivf) * std::sqrt (search.share ());
  const double expected = search.tuning.nprobe / std::sqrt (search.share ());
  NearestLists nearest (ivf, search.query, static_cast<size_t> (std::min (expected * 1.2, 1e9)));
  const std::unique_ptr<faiss::InvertedListScanner> scanner (ivf.get_InvertedListScanner ());
  std::vector<uint64_t> numbers;
  Best best (search);
  uint64_t scored = 0, read = 0;
  scanner->set_query (search.query);
  for (size_t rank = 0; rank < nearest.size (); rank++) {
    if (!all && read >= search.tuning.nprobe && static_cast<double> (scored) >= goal)
      break;
    const size_t list = all ? rank : nearest.at (rank);
    list_set (search.allowed, lists.first (list), lists.first (list + 1), numbers);
    if (numbers.empty ())
      continue;
    scanner->set_list (static_cast<faiss::idx_t> (list), nearest.score (list));
    score_rows (numbers, lists.bytes (), lists.code_size, best,
                [&scanner] (const uint8_t *code) { return scanner->distance_to_code (code); });
    scored += numbers.size ();
    read++;
  }
  best.finish ();
}

/* ---- the others ---- */

const faiss::IndexFlatCodes &
codes_behind (const faiss::Index &index)
{
  const auto *graph = dynamic_cast<const faiss::IndexHNSW *> (&index);
  return dynamic_cast<const faiss::IndexFlatCodes &> (graph == nullptr ? index : *graph->storage);
}

void
search_codes (const Search &search)
{
  const faiss::IndexFlatCodes &index = codes_behind (*search.approximate.index);
  const std::unique_ptr<faiss::FlatCodesDistanceComputer> computer (index.get_FlatCodesDistanceComputer ());
  std::vector<uint64_t> numbers;
  Best best (search);
  constexpr uint64_t piece = 4096; /* rows whose numbers are written down at once */
  computer->set_query (search.query);
  for (uint64_t first = 0; first < search.total (); first += piece) {
    list_set (search.allowed, first, std::min (first + piece, search.total ()), numbers);
    score_rows (numbers, index.codes.data (), index.code_size, best,
                [&computer] (const uint8_t *code) { return computer->distance_to_code (code); });
  }
  best.finish ();
}

struct Selector : faiss::IDSelector {
  const uint64_t *allowed;
  explicit Selector (const uint64_t *which) : allowed (which)
  {
  }
  bool is_member (faiss::idx_t row) const override
  {
    return ragify_words_has (allowed, static_cast<uint64_t> (row));
  }
};

/* FAISS's own search. A graph's way leads past rows that are not allowed as well, so the more of these there are the
 * more candidates are kept. */
void
search_by_faiss (const Search &search)
{
  const faiss::Index &index = *search.approximate.index;
  const auto *graph = dynamic_cast<const faiss::IndexHNSW *> (&index);
  const auto *ivf = dynamic_cast<const faiss::IndexIVF *> (&index);
  const faiss::Index &searched = graph != nullptr && search.tuning.exact ? *graph->storage : index;
  Selector selector (search.allowed);
  faiss::SearchParameters plain;
  faiss::SearchParametersIVF for_ivf;
  faiss::SearchParametersHNSW for_graph;
  faiss::SearchParameters *parameters = &plain;
  if (ivf != nullptr) {
    for_ivf.nprobe = search.tuning.exact ? ivf->nlist : std::min<size_t> (search.tuning.nprobe, ivf->nlist);
    parameters = &for_ivf;
  } else if (&searched == graph) {
    const double kept = std::max (search.tuning.ef_search, search.wanted) / std::sqrt (search.share ());
    for_graph.efSearch = static_cast<int> (std::ceil (kept));
    parameters = &for_graph;
  }
  if (!search.all ()) /* being asked for each row costs a tenth of a search */
    parameters->sel = &selector;
  searched.search (1, search.query, search.wanted, search.scores, search.rows, parameters);
}

uint32_t
count_found (const Search &search)
{
  uint32_t count = 0;
  while (count < search.wanted && search.rows[count] >= 0)
    count++;
  return count;
}

void
search_by (const Search &search, RagifyApproximateWay way)
{
  if (way == RAGIFY_APPROXIMATE_BY_FAISS)
    search_by_faiss (search);
  else if (search.approximate.lists != nullptr)
    search_lists (search, way == RAGIFY_APPROXIMATE_ALL_ALLOWED);
  else
    search_codes (search);
}

/* What a search of the graph costs for each candidate that it keeps, in scores of rows that are read in order: measured
 * by tests/bench/store-filters. */
constexpr double graph_rows = 16;

/* By what each way costs. Of an IVF index all that is allowed is looked at as long as that costs no more than an
 * unfiltered search: the lists would cost less yet, but might miss something. */
RagifyApproximateWay
choose (const Search &search)
{
  if (search.all ())
    return RAGIFY_APPROXIMATE_BY_FAISS;
  const faiss::Index &index = *search.approximate.index;
  const auto allowed = static_cast<double> (search.allowed_count);
  if (search.tuning.exact)
    return RAGIFY_APPROXIMATE_ALL_ALLOWED;
  if (const auto *ivf = dynamic_cast<const faiss::IndexIVF *> (&index))
    return allowed <= rows_unfiltered (search, *ivf) ? RAGIFY_APPROXIMATE_ALL_ALLOWED : RAGIFY_APPROXIMATE_BY_LISTS;
  if (dynamic_cast<const faiss::IndexHNSW *> (&index) == nullptr)
    return RAGIFY_APPROXIMATE_ALL_ALLOWED;
  const double kept = std::max (search.tuning.ef_search, search.wanted) / std::sqrt (search.share ());
  return allowed <= graph_rows * kept ? RAGIFY_APPROXIMATE_ALL_ALLOWED : RAGIFY_APPROXIMATE_BY_FAISS;
}

} // namespace

RagifyApproximateWay
ragify_approximate_choose (const RagifyApproximate *approximate, uint32_t wanted, uint64_t allowed_count,
                           const RagifyApproximateTuning *tuning)
{
  return choose ({ *approximate, nullptr, wanted, nullptr, allowed_count, *tuning, nullptr, nullptr });
}

bool
ragify_approximate_search_by (const RagifyApproximate *approximate, RagifyApproximateWay way, const float *query,
                              uint32_t wanted, const uint64_t *allowed, uint64_t allowed_count,
                              const RagifyApproximateTuning *tuning, float *scores, int64_t *rows, uint32_t *found,
                              RagifyFault *fault)
{
  *found = 0;
  if (allowed_count == 0)
    return true;
  try {
    ragify::use_one_thread ();
    const Search search = { *approximate, query, wanted, allowed, allowed_count, *tuning, scores, rows };
    search_by (search, way);
    *found = count_found (search);
    return true;
  } catch (...) {
    return ragify::explain (fault);
  }
}

bool
ragify_approximate_search (const RagifyApproximate *approximate, const float *query, uint32_t wanted,
                           const uint64_t *allowed, uint64_t allowed_count, const RagifyApproximateTuning *tuning,
                           float *scores, int64_t *rows, uint32_t *found, RagifyFault *fault)
{
  RagifyApproximateWay way = ragify_approximate_choose (approximate, wanted, allowed_count, tuning);
  const bool filtered = allowed_count < ragify_approximate_count (approximate);
  if (!ragify_approximate_search_by (approximate, way, query, wanted, allowed, allowed_count, tuning, scores, rows,
                                     found, fault))
    return false;
  /* A graph's way may have led past what is allowed. */
  if (!filtered || way != RAGIFY_APPROXIMATE_BY_FAISS || *found == wanted || *found == allowed_count)
    return true;
  return ragify_approximate_search_by (approximate, RAGIFY_APPROXIMATE_ALL_ALLOWED, query, wanted, allowed,
                                       allowed_count, tuning, scores, rows, found, fault);
}
