#include "xapian-private.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <malloc.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <unordered_map>

using namespace ragify_xapian;

namespace {

constexpr uint64_t most_pending = 2000; // chunks; they are in memory
constexpr auto lock_poll = std::chrono::milliseconds (20);

bool
set_fault (RagifyFault *fault, int32_t code, const std::string &message)
{
  return ragify_fault_set (fault, code, "%s", message.c_str ());
}

std::string
describe (const Xapian::Error &error)
{
  const char *cause = error.get_error_string ();
  return error.get_msg () + (cause != nullptr ? std::string (" (") + cause + ")" : "");
}

std::string
unique_term (const RagifyUuid &id)
{
  return std::string ("Q") + std::string (reinterpret_cast<const char *> (id.bytes), sizeof id.bytes);
}

std::string
encode_generation (const RagifyGeneration &generation)
{
  char bytes[24];
  memcpy (bytes, generation.store.bytes, 16);
  for (int i = 0; i < 8; i++)
    bytes[16 + i] = static_cast<char> (generation.counter >> (8 * i) & 0xff);
  return std::string (bytes, sizeof bytes);
}

RagifyGeneration
decode_generation (const std::string &bytes)
{
  RagifyGeneration generation = {};
  if (bytes.size () != 24)
    return generation;
  memcpy (generation.store.bytes, bytes.data (), 16);
  for (int i = 0; i < 8; i++)
    generation.counter |= static_cast<uint64_t> (static_cast<unsigned char> (bytes[16 + i])) << (8 * i);
  return generation;
}

/* What many chunks took until they were committed. Batches come on many threads, each of which would keep as much for
 * the next one. */
void
give_memory_back ()
{
#ifdef __GLIBC__
  (void)malloc_trim (0);
#endif
}

/* The folder, and those above it. */
void
make_folders (const std::string &path)
{
  for (size_t slash = path.find ('/', 1); slash != std::string::npos; slash = path.find ('/', slash + 1))
    (void)mkdir (path.substr (0, slash).c_str (), 0750);
  (void)mkdir (path.c_str (), 0750);
}

} // namespace

/* Turns what was thrown into a fault, and marks a damaged database, so that the next start makes it anew. */
bool
ragify_xapian::explain (const RagifyTextIndex &index, RagifyFault *fault)
{
  try {
    throw;
  } catch (const Cancelled &) {
    return set_fault (fault, RAGIFY_E_CANCELLED, "the caller gave up; nothing was changed");
  } catch (const Xapian::DatabaseLockError &error) {
    return set_fault (fault, RAGIFY_E_UNAVAILABLE,
                      index.folder +
                          ": another process has this index open; stop it, or give this one a path of its "
                          "own (" +
                          describe (error) + ")");
  } catch (const Foreign &error) {
    return set_fault (fault, RAGIFY_E_INVALID, error.what ());
  } catch (const Xapian::DatabaseCorruptError &error) {
    FILE *mark = fopen (index.damage_mark ().c_str (), "w");
    if (mark != nullptr)
      (void)fclose (mark);
    return set_fault (fault, RAGIFY_E_INTERNAL,
                      index.folder + ": the index is damaged; it is made anew at the next start (" + describe (error) +
                          ")");
  } catch (const Xapian::Error &error) {
    const char *cause = error.get_error_string ();
    bool full = cause != nullptr && (strcmp (cause, strerror (ENOSPC)) == 0 || strcmp (cause, strerror (EDQUOT)) == 0);
    return set_fault (fault, full ? RAGIFY_E_EXHAUSTED : RAGIFY_E_UNAVAILABLE,
                      index.folder + ": " + (full ? "the disk is full: " : "") + describe (error));
  } catch (const std::bad_alloc &) {
    return ragify_fault_memory (fault);
  } catch (const std::exception &error) {
    return set_fault (fault, RAGIFY_E_INTERNAL, index.folder + ": " + error.what ());
  }
}

void
RagifyTextIndex::open_writer (int flags)
{
  auto until = std::chrono::steady_clock::now () + std::chrono::microseconds (options.lock_wait_us);
  writer.reset ();
  for (;;) {
    try {
      writer = std::make_unique<Xapian::WritableDatabase> (folder, flags | Xapian::DB_BACKEND_GLASS);
      return;
    } catch (const Xapian::DatabaseLockError &) {
      if (std::chrono::steady_clock::now () >= until)
        throw;
      std::this_thread::sleep_for (lock_poll);
    }
  }
}

/* An empty database, whatever is there now: the host fills it from the store. */
void
RagifyTextIndex::start_anew (const std::string &why)
{
  if (!why.empty ())
    say (RAGIFY_LOG_WARNING, folder + ": the index is made anew: " + why);
  open_writer (Xapian::DB_CREATE_OR_OVERWRITE);
  writer->set_metadata ("format", format ());
  writer->commit ();
  (void)unlink (damage_mark ().c_str ());
}

void
RagifyTextIndex::open ()
{
  make_folders (folder);
  if (access (folder.c_str (), W_OK) != 0) {
    read_only = strerror (errno);
    Xapian::Database database (folder);
    if (database.get_metadata ("format") != format ())
      throw Xapian::InvalidArgumentError ("it was made with other settings, and the folder is read-only");
    load ();
    return;
  }
  try {
    open_writer (Xapian::DB_CREATE_OR_OPEN);
    std::string found = writer->get_metadata ("format");
    if (found.empty () &&
        (writer->get_lastdocid () != 0 || writer->metadata_keys_begin () != writer->metadata_keys_end ()))
      throw Foreign (folder + ": it is a Xapian database, but no text index of Ragify's; it is left as it is: move it "
                              "away, or give this index another path");
    bool damaged = access (damage_mark ().c_str (), F_OK) == 0;
    if (damaged)
      start_anew ("a part of it could not be read");
    else if (found.empty ())
      start_anew ("");
    else if (found != format ())
      start_anew ("it was made with '" + found + "', the settings are now '" + format () + "'");
    load ();
  } catch (const Xapian::DatabaseLockError &) {
    throw;
  } catch (const Xapian::DatabaseError &error) {
    start_anew (describe (error));
    load ();
  }
}

/* Ids and lengths of all chunks, into memory. */
void
RagifyTextIndex::load ()
{
  Xapian::Database database (folder);
  Roster fresh = make_roster ();
  auto posting = database.postlist_begin ("");
  auto value = database.valuestream_begin (id_slot);
  for (; posting != database.postlist_end (""); ++posting, ++value) {
    if (value == database.valuestream_end (id_slot) || value.get_docid () != *posting ||
        (*value).size () != sizeof (RagifyUuid))
      throw Xapian::DatabaseCorruptError ("ids and chunks do not agree");
    RagifyUuid id;
    memcpy (id.bytes, (*value).data (), sizeof id.bytes);
    if (!ragify_roster_set (fresh.get (), *posting, &id, std::max<uint32_t> (posting.get_doclength (), 1)))
      throw std::bad_alloc ();
  }
  std::lock_guard<std::mutex> guard (mutex);
  roster = fresh;
  chunks = database.get_doccount ();
  generation = decode_generation (database.get_metadata ("generation"));
  commits++;
}

std::string
RagifyTextIndex::term_of (const RagifyToken &token, const Xapian::Stem &with) const
{
  std::string text (token.text, token.size);
  return token.word ? with (text) : text;
}

uint32_t
RagifyTextIndex::add_text (Xapian::Document &document, RagifyStr text, uint32_t weight)
{
  /* Counted first: adding to a document looks each word up. */
  std::unordered_map<std::string, uint32_t> words;
  uint32_t length = 0;
  for_each_word (text, RAGIFY_TOKENIZE_DOCUMENT, [&] (const RagifyToken &token) {
    words[term_of (token, stem)]++;
    length++;
  });
  for (const auto &word : words)
    if (!word.first.empty ())
      document.add_term (word.first, word.second * weight);
  return length * weight;
}

void
RagifyTextIndex::add_chunk (const RagifyChunk &chunk)
{
  Xapian::Document document;
  uint32_t length = add_text (document, chunk.content, 1);
  if (options.title_weight > 0)
    length += add_text (document, chunk.title, options.title_weight);
  document.add_boolean_term (unique_term (chunk.id));
  document.add_value (id_slot, std::string (reinterpret_cast<const char *> (chunk.id.bytes), sizeof chunk.id.bytes));
  Xapian::docid number = writer->add_document (document);
  /* Nobody can know the number before the commit. */
  if (!ragify_roster_set (roster.get (), number, &chunk.id, std::max<uint32_t> (length, 1)))
    throw std::bad_alloc ();
}

void
RagifyTextIndex::change_chunks (const RagifyTextCaller &caller, const void *args)
{
  const auto *upsert = static_cast<const RagifyTextUpsert *> (args);
  for (uint64_t i = 0; i < upsert->removed.count; i++)
    writer->delete_document (unique_term (upsert->removed.items[i]));
  const char *item = reinterpret_cast<const char *> (upsert->chunks.items);
  for (uint64_t i = 0; i < upsert->chunks.count; i++, item += upsert->chunks.stride) {
    if (caller.cancelled (caller.user))
      throw Cancelled ();
    const auto &chunk = *reinterpret_cast<const RagifyChunk *> (item);
    writer->delete_document (unique_term (chunk.id));
    add_chunk (chunk);
  }
}

void
RagifyTextIndex::remove_chunks (const RagifyTextCaller &caller, const void *args)
{
  const auto *removal = static_cast<const RagifyTextRemove *> (args);
  for (uint64_t i = 0; i < removal->ids.count; i++) {
    if (caller.cancelled (caller.user))
      throw Cancelled ();
    writer->delete_document (unique_term (removal->ids.items[i]));
  }
}

bool
RagifyTextIndex::is_at (const RagifyGeneration &other) const
{
  return generation.counter == other.counter &&
         memcmp (generation.store.bytes, other.store.bytes, sizeof other.store.bytes) == 0;
}

/* One batch, with the generation, in one commit. A batch that leaves the generation as it is is a part of something
 * larger, which begins again where it does not come to its end: a commit for some of these together. Whatever fails,
 * the writer is opened anew before the next, without what was not committed. */
void
RagifyTextIndex::write (const RagifyTextCaller &caller, const RagifyGeneration &after, uint64_t count,
                        void (RagifyTextIndex::*change) (const RagifyTextCaller &, const void *), const void *args)
{
  const bool partial = is_at (after); // nobody else changes it
  pending += count;
  const bool committed = !partial || pending >= most_pending;
  try {
    if (writer == nullptr)
      open_writer (Xapian::DB_OPEN);
    writer->begin_transaction (!partial);
    (this->*change) (caller, args);
    writer->set_metadata ("generation", encode_generation (after));
    writer->commit_transaction ();
    if (committed)
      writer->commit ();
  } catch (...) {
    writer.reset ();
    pending = 0;
    throw;
  }
  if (committed)
    pending = 0;
  if (partial && committed)
    give_memory_back ();
  std::lock_guard<std::mutex> guard (mutex);
  if (committed)
    commits++;
  chunks = writer->get_doccount ();
  generation = after;
}

void
RagifyTextIndex::commit_pending ()
{
  writer->commit ();
  pending = 0;
  std::lock_guard<std::mutex> guard (mutex);
  commits++;
}

void
RagifyTextIndex::clear (const RagifyGeneration &after)
{
  start_anew ("");
  writer->set_metadata ("generation", encode_generation (after));
  writer->commit ();
  Roster fresh = make_roster ();
  pending = 0;
  std::lock_guard<std::mutex> guard (mutex);
  roster = fresh;
  commits++;
  chunks = 0;
  generation = after;
  idle.clear ();
}

namespace {

bool
check_language (const char *language, RagifyFault *fault)
{
  if (strcmp (language, "none") == 0)
    return true;
  try {
    Xapian::Stem stem (language);
    return true;
  } catch (const Xapian::Error &) {
    return set_fault (fault, RAGIFY_E_INVALID,
                      std::string ("language: expected none or one of ") + Xapian::Stem::get_available_languages () +
                          ", or its two-letter code; found '" + language + "'");
  }
}

RagifyTextIndex *
open_index (const RagifyTextOptions *options, RagifyFault *fault)
{
  auto index = std::make_unique<RagifyTextIndex> (*options);
  try {
    index->open ();
    return index.release ();
  } catch (...) {
    explain (*index, fault);
    return nullptr;
  }
}

void
close_index (RagifyTextIndex *index)
{
  delete index;
}

const char *
why_read_only (RagifyTextIndex *index)
{
  return index->read_only.empty () ? nullptr : index->read_only.c_str ();
}

bool
may_write (const RagifyTextIndex &index, RagifyFault *fault)
{
  return index.read_only.empty () ||
         set_fault (fault, RAGIFY_E_UNAVAILABLE,
                    index.folder + ": nothing can be written, the folder is read-only (" + index.read_only + ")");
}

bool
upsert (RagifyTextIndex *index, const RagifyTextCaller *caller, const RagifyTextUpsert *args, RagifyFault *fault)
{
  if (!may_write (*index, fault))
    return false;
  std::lock_guard<std::mutex> guard (index->writing);
  try {
    index->write (*caller, args->generation, args->chunks.count + args->removed.count, &RagifyTextIndex::change_chunks,
                  args);
    return true;
  } catch (...) {
    return explain (*index, fault);
  }
}

bool
remove_some (RagifyTextIndex *index, const RagifyTextCaller *caller, const RagifyTextRemove *args, RagifyFault *fault)
{
  if (!may_write (*index, fault))
    return false;
  std::lock_guard<std::mutex> guard (index->writing);
  try {
    if ((args->flags & RAGIFY_TEXT_REMOVE_ALL) != 0)
      index->clear (args->generation);
    else
      index->write (*caller, args->generation, args->ids.count, &RagifyTextIndex::remove_chunks, args);
    return true;
  } catch (...) {
    return explain (*index, fault);
  }
}

bool
search (RagifyTextIndex *index, const RagifyTextCaller *caller, const RagifyTextSearch *args, RagifyHit *hits,
        uint32_t *found, RagifyFault *fault)
{
  return index->search (*caller, *args, hits, found, fault);
}

bool
optimize (RagifyTextIndex *index, RagifyFault *fault)
{
  if (!may_write (*index, fault))
    return false;
  std::lock_guard<std::mutex> guard (index->writing);
  try {
    if (index->writer != nullptr)
      index->commit_pending ();
    return true;
  } catch (...) {
    return explain (*index, fault);
  }
}

void
report_generation (RagifyTextIndex *index, RagifyTextGeneration *generation)
{
  std::lock_guard<std::mutex> guard (index->mutex);
  generation->generation = index->generation;
  generation->chunks = index->chunks;
}

} // namespace

const RagifyTextBackend ragify_xapian_backend = {
  /* .folder = */ "xapian",
  /* .check_language = */ check_language,
  /* .open = */ open_index,
  /* .close = */ close_index,
  /* .read_only = */ why_read_only,
  /* .upsert = */ upsert,
  /* .search = */ search,
  /* .remove = */ remove_some,
  /* .optimize = */ optimize,
  /* .generation = */ report_generation,
};
