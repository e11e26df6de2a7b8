/* Searching the index on Xapian. */
#include "xapian-private.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

using namespace ragify_xapian;

namespace {

constexpr size_t query_words = 128; // of one query that count; of more, the rarest
constexpr size_t idle_readers = 64;
constexpr int attempts = 5; // of a search that a writer overtakes
constexpr uint32_t range_span =
    1 << 16; // numbers whose scores are gathered at once: they stay in the processor's cache

} // namespace

/* A reader that has seen the last commit. */
std::unique_ptr<Reader>
RagifyTextIndex::borrow ()
{
  std::unique_ptr<Reader> reader;
  Roster current;
  uint64_t seen;
  {
    std::lock_guard<std::mutex> guard (mutex);
    if (!idle.empty ()) {
      reader = std::move (idle.back ());
      idle.pop_back ();
    }
    current = roster;
    seen = commits;
  }
  if (reader == nullptr || reader->roster != current) {
    reader = std::make_unique<Reader> ();
    reader->database = Xapian::Database (folder);
    reader->stem = make_stem ();
  } else if (reader->commits != seen) {
    reader->database.reopen ();
  }
  reader->commits = seen;
  reader->roster = current;
  return reader;
}

void
RagifyTextIndex::give_back (std::unique_ptr<Reader> reader)
{
  std::lock_guard<std::mutex> guard (mutex);
  if (reader->roster == roster && idle.size () < idle_readers)
    idle.push_back (std::move (reader));
}

/* The words that count, with how often they stand in the query and in the index. */
std::vector<Word>
RagifyTextIndex::read_query (const Reader &reader, RagifyStr text)
{
  std::unordered_map<std::string, uint32_t> all;
  std::unordered_map<std::string, uint32_t> telling;
  for_each_word (text, RAGIFY_TOKENIZE_QUERY, [&] (const RagifyToken &token) {
    std::string term = term_of (token, reader.stem);
    all[term]++;
    if (!is_english () || !ragify_is_stop_word (token.text, token.size))
      telling[term]++;
  });
  std::vector<Word> known;
  for (const auto &word : telling.empty () ? all : telling) {
    if (word.first.empty ())
      continue;
    auto postings = lately.find (word.first, reader.commits);
    double frequency = postings != nullptr ? postings->frequency : reader.database.get_termfreq (word.first);
    if (frequency > 0)
      known.push_back ({ word.first, word.second, frequency, std::move (postings), 0, {} });
  }
  auto rarer = [] (const Word &left, const Word &right) {
    return left.frequency != right.frequency ? left.frequency < right.frequency : left.term < right.term;
  };
  std::sort (known.begin (), known.end (), rarer);
  if (known.size () > query_words)
    known.erase (known.begin () + query_words, known.end ());
  return known;
}

std::shared_ptr<const Postings>
RagifyTextIndex::read_postings (const Reader &reader, const Word &word)
{
  auto postings = std::make_shared<Postings> ();
  postings->frequency = word.frequency;
  postings->all.reserve ((size_t)word.frequency);
  auto end = reader.database.postlist_end (word.term);
  for (auto posting = reader.database.postlist_begin (word.term); posting != end; ++posting)
    postings->all.push_back ({ *posting, posting.get_wdf () });
  lately.keep (word.term, reader.commits, postings);
  return postings;
}

/* Postings are decoded and kept as long as all of the query's together stay small; others are read as they are added.
 */
void
RagifyTextIndex::open_words (Reader &reader, std::vector<Word> &words)
{
  size_t bytes = 0;
  for (Word &word : words) {
    size_t size = (size_t)word.frequency * sizeof (Posting);
    if (word.postings == nullptr && word.frequency <= Words::frequency_limit && bytes + size <= Words::bytes_limit) {
      word.postings = read_postings (reader, word);
      bytes += size;
    }
    if (word.postings == nullptr)
      word.posting = reader.database.postlist_begin (word.term);
  }
}

/* What the words have below `past`, going on from where they are. */
void
RagifyTextIndex::add_words (Reader &reader, std::vector<Word> &words, uint32_t past)
{
  RagifyAccumulator *accumulator = &reader.accumulator;
  const double total = reader.database.get_doccount ();
  const Xapian::PostingIterator end;
  for (Word &word : words) {
    ragify_accumulator_word (accumulator, word.frequency, total, word.times);
    if (word.postings != nullptr) {
      const auto &all = word.postings->all;
      for (; word.next < all.size () && all[word.next].number < past; word.next++)
        ragify_accumulator_add (accumulator, all[word.next].number, all[word.next].times);
    } else {
      for (; word.posting != end && *word.posting < past; ++word.posting)
        ragify_accumulator_add (accumulator, *word.posting, word.posting.get_wdf ());
    }
  }
}

void
RagifyTextIndex::look_up (const RagifyTextCaller &caller, Reader &reader, const RagifyTextSearch &args, RagifyHit *hits,
                          uint32_t *found)
{
  RagifyAccumulator *accumulator = &reader.accumulator;
  std::vector<Word> asked = read_query (reader, args.text);
  const uint64_t limit = (uint64_t)reader.database.get_lastdocid () + 1;
  ragify_accumulator_begin (accumulator, reader.roster.get (), args.top_k, &options.bm25,
                            reader.database.get_avlength ());
  try {
    open_words (reader, asked);
    for (uint64_t first = 0; first < limit; first += range_span) {
      const auto span = (uint32_t)std::min<uint64_t> (range_span, limit - first);
      if (caller.cancelled (caller.user))
        throw Cancelled ();
      if (!ragify_accumulator_range (accumulator, (uint32_t)first, span))
        throw std::bad_alloc ();
      add_words (reader, asked, (uint32_t)std::min<uint64_t> (first + span, UINT32_MAX));
    }
  } catch (...) {
    ragify_accumulator_abandon (accumulator);
    throw;
  }
  if (!ragify_accumulator_end (accumulator, hits, found))
    throw std::bad_alloc ();
}

/* A reader that fell too far behind the writer, or whose database was made anew under it, is replaced by another. */
bool
RagifyTextIndex::search (const RagifyTextCaller &caller, const RagifyTextSearch &args, RagifyHit *hits, uint32_t *found,
                         RagifyFault *fault)
{
  for (int attempt = 1;; attempt++) {
    uint64_t before;
    {
      std::lock_guard<std::mutex> guard (mutex);
      before = commits;
    }
    try {
      if (caller.cancelled (caller.user))
        throw Cancelled ();
      auto reader = borrow ();
      look_up (caller, *reader, args, hits, found);
      give_back (std::move (reader));
      return true;
    } catch (const Xapian::DatabaseModifiedError &) {
      if (attempt == attempts)
        return explain (*this, fault);
    } catch (const Xapian::DatabaseError &) {
      std::lock_guard<std::mutex> guard (mutex);
      if (attempt == attempts || before == commits)
        return explain (*this, fault);
    } catch (...) {
      return explain (*this, fault);
    }
  }
}
