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
      known.push_back ({ word.first, word.second, frequency, std::move (postings) });
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

void
RagifyTextIndex::add_word (Reader &reader, const Word &word)
{
  RagifyAccumulator *accumulator = &reader.accumulator;
  if (word.postings == nullptr && word.frequency > Words::frequency_limit) {
    auto end = reader.database.postlist_end (word.term);
    for (auto posting = reader.database.postlist_begin (word.term); posting != end; ++posting)
      ragify_accumulator_add (accumulator, *posting, posting.get_wdf ());
    return;
  }
  auto postings = word.postings != nullptr ? word.postings : read_postings (reader, word);
  for (const Posting &posting : postings->all)
    ragify_accumulator_add (accumulator, posting.number, posting.times);
}

void
RagifyTextIndex::look_up (Reader &reader, const RagifyTextSearch &args, RagifyHit *hits, uint32_t *found)
{
  Xapian::Database &database = reader.database;
  std::vector<Word> asked = read_query (reader, args.text);
  double total = database.get_doccount ();
  if (!ragify_accumulator_begin (&reader.accumulator, reader.roster.get (), database.get_lastdocid () + 1,
                                 &options.bm25, database.get_avlength ()))
    throw std::bad_alloc ();
  try {
    for (const Word &word : asked) {
      ragify_accumulator_word (&reader.accumulator, word.frequency, total, word.times);
      add_word (reader, word);
    }
  } catch (...) {
    ragify_accumulator_abandon (&reader.accumulator);
    throw;
  }
  if (!ragify_accumulator_end (&reader.accumulator, args.top_k, hits, found))
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
      look_up (*reader, args, hits, found);
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
