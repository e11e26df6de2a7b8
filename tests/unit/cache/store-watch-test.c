/* What keys see of a store: commits, deletions between them, and what others do to it.
 *
 * SPDX-License-Identifier: MIT
 */
#include "cache-rig.h"

#include <string.h>

#include "core/cache/store-watch.h"

#define SECOND_US ((guint64)G_USEC_PER_SEC)
#define HOUR_US (3600 * SECOND_US)
#define PATIENCE 60000 /* ms */

typedef struct {
  Rig *rig;
  Script script;
  RagifyStoreWatch *watch;
} Site;

static int
set_up_site (void **state)
{
  Site *site = g_new0 (Site, 1);
  site->rig = rig_new (2);
  *state = site;
  return 0;
}

static int
tear_down_site (void **state)
{
  Site *site = *state;
  ragify_store_watch_free (site->watch);
  rig_free (site->rig);
  g_free (site);
  return 0;
}

static void
watch (Site *site, const RagifyComponent *component, guint64 invalidate_every_us, guint64 max_staleness_us)
{
  g_clear_pointer (&site->watch, ragify_store_watch_free);
  const RagifyStoreWatchOptions options = { .store = rig_scripted (site->rig, "docs", component, &site->script),
                                            .invalidate_every_us = invalidate_every_us,
                                            .max_staleness_us = max_staleness_us };
  site->watch = ragify_store_watch_new (&options);
}

static void
commit (Site *site, guint64 counter, guint removed)
{
  const RagifyGeneration generation = { .store = passage_id (77), .counter = counter };
  const RagifyUuid id = passage_id (removed);
  const RagifyUuidList list = { .items = &id, .count = removed != 0 ? 1 : 0 };
  ragify_store_watch_changed (site->watch, &generation, &list);
}

static gboolean
allows (Site *site, RagifyStoreMark mark, guint number)
{
  const RagifyUuid ids[] = { passage_id (1000), passage_id (number) };
  return ragify_store_watch_allows (site->watch, &mark, ids[0].bytes, 2);
}

static void
each_commit_outdates (void **state)
{
  Site *site = *state;
  watch (site, &scripted_store, 0, SECOND_US);
  const RagifyStoreMark first = ragify_store_watch_mark (site->watch);
  assert_int_not_equal (first.generation, 0);
  commit (site, 2, 0);
  assert_int_not_equal (ragify_store_watch_mark (site->watch).generation, first.generation);
}

static void
commits_outdate_later_and_deletes_at_once (void **state)
{
  Site *site = *state;
  watch (site, &scripted_store, HOUR_US, SECOND_US);
  const RagifyStoreMark first = ragify_store_watch_mark (site->watch);
  commit (site, 2, 0);
  commit (site, 3, 5);
  const RagifyStoreMark second = ragify_store_watch_mark (site->watch);
  assert_int_equal (second.generation, first.generation);
  assert_int_not_equal (second.deletions, first.deletions); /* no flight is shared with who began before */
  assert_false (allows (site, second, 5));
  assert_true (allows (site, second, 6));
}

static void
commits_outdate_at_intervals (void **state)
{
  Site *site = *state;
  watch (site, &scripted_store, 100000, SECOND_US);
  const RagifyStoreMark first = ragify_store_watch_mark (site->watch);
  commit (site, 2, 0);
  commit (site, 3, 5);
  RagifyStoreMark later = ragify_store_watch_mark (site->watch);
  for (guint i = 0; i < PATIENCE && later.generation == first.generation; i++) {
    g_usleep (1000);
    later = ragify_store_watch_mark (site->watch);
  }
  assert_int_not_equal (later.generation, first.generation);
  assert_true (allows (site, later, 5));  /* no such answer is under the new keys, and the id may be written again */
  assert_false (allows (site, first, 6)); /* whose keys are old cannot know any more */
}

static void
more_deletions_than_are_remembered_outdate (void **state)
{
  Site *site = *state;
  watch (site, &scripted_store, HOUR_US, SECOND_US);
  const RagifyStoreMark first = ragify_store_watch_mark (site->watch);
  g_autofree RagifyUuid *ids = g_new0 (RagifyUuid, 100001);
  for (guint i = 0; i < 100001; i++)
    memcpy (ids[i].bytes, &i, sizeof i);
  const RagifyGeneration generation = { .store = passage_id (77), .counter = 2 };
  const RagifyUuidList list = { .items = ids, .count = 100001 };
  ragify_store_watch_changed (site->watch, &generation, &list);
  assert_int_not_equal (ragify_store_watch_mark (site->watch).generation, first.generation);
}

static void
a_commit_that_skips_one_outdates_at_once (void **state)
{
  Site *site = *state;
  watch (site, &scripted_store, HOUR_US, SECOND_US);
  const RagifyStoreMark first = ragify_store_watch_mark (site->watch);
  commit (site, 3, 0); /* another has made number 2, and what it deleted is not known */
  assert_int_not_equal (ragify_store_watch_mark (site->watch).generation, first.generation);
}

static void
a_state_that_says_not_what_has_gone_outdates_at_once (void **state)
{
  Site *site = *state;
  watch (site, &scripted_store, HOUR_US, SECOND_US);
  const RagifyStoreMark first = ragify_store_watch_mark (site->watch);
  const RagifyGeneration generation = { .store = passage_id (77), .counter = 2 };
  ragify_store_watch_changed (site->watch, &generation, NULL);
  const RagifyStoreMark second = ragify_store_watch_mark (site->watch);
  assert_int_not_equal (second.generation, first.generation);
  ragify_store_watch_changed (site->watch, &generation, NULL); /* the same again is no news */
  assert_int_equal (ragify_store_watch_mark (site->watch).generation, second.generation);
}

static void
count (gboolean known, void *user)
{
  *(gint *)user = known ? 1 : -1;
}

typedef struct {
  Site *site;
  gint told; /* atomic */
} Telling;

static void
told (gboolean known, void *user)
{
  gint result = 0;
  count (known, &result);
  g_atomic_int_set (&((Telling *)user)->told, result);
}

static void
refresh_now (void *user)
{
  Telling *telling = user;
  g_autoptr (RagifyOwner) owner = ragify_owner_new (sizeof *owner, NULL);
  ragify_store_watch_refresh (telling->site->watch, owner, ragify_now () + 60 * SECOND_US, told, telling);
}

/* Asks and waits; −1: the store did not tell. */
static gint
refresh (Site *site)
{
  Telling telling = { .site = site };
  rig_run (site->rig, 0, refresh_now, &telling);
  while (g_atomic_int_get (&telling.told) == 0)
    g_usleep (1000);
  return g_atomic_int_get (&telling.told);
}

static void
refresh_early (void *user)
{
  ragify_store_watch_refresh_early (((Site *)user)->watch);
}

static void
what_others_write_is_asked_for (void **state)
{
  Site *site = *state;
  watch (site, &scripted_shared_store, 0, HOUR_US);
  assert_true (ragify_store_watch_is_recent (site->watch));
  watch (site, &scripted_shared_store, 0, 200000);
  const RagifyStoreMark first = ragify_store_watch_mark (site->watch);
  for (guint i = 0; i < PATIENCE && ragify_store_watch_is_recent (site->watch); i++)
    g_usleep (1000);
  assert_false (ragify_store_watch_is_recent (site->watch));
  g_atomic_int_inc (&site->script.commits);
  gboolean recent = FALSE;
  for (guint i = 0; i < 100 && !recent; i++) { /* a machine that pauses is late again */
    assert_int_equal (refresh (site), 1);
    recent = ragify_store_watch_is_recent (site->watch);
  }
  assert_true (recent);
  assert_int_not_equal (ragify_store_watch_mark (site->watch).generation, first.generation);
}

static void
what_is_recent_is_not_asked_for (void **state)
{
  Site *site = *state;
  watch (site, &scripted_shared_store, 0, HOUR_US);
  rig_run (site->rig, 0, refresh_early, site);
  assert_int_equal (refresh (site), 1);
  assert_int_equal (g_atomic_int_get (&site->script.generations), 2); /* the first one and our own */
}

static void
before_it_is_too_old_it_is_asked_for_early (void **state)
{
  Site *site = *state;
  gboolean early = FALSE;
  for (guint i = 0; i < 20 && !early; i++) { /* where the machine pauses it is late, which says nothing */
    watch (site, &scripted_shared_store, 0, 400000);
    const gint asked = g_atomic_int_get (&site->script.generations);
    g_usleep (250000);
    rig_run (site->rig, 0, refresh_early, site);
    early = ragify_store_watch_is_recent (site->watch);
    for (guint ms = 0; ms < PATIENCE && g_atomic_int_get (&site->script.generations) == asked; ms++)
      g_usleep (1000);
    assert_int_equal (g_atomic_int_get (&site->script.generations), asked + 1);
  }
  assert_true (early);
}

static void
a_store_of_our_own_is_not_asked (void **state)
{
  Site *site = *state;
  watch (site, &scripted_store, 0, 0);
  assert_true (ragify_store_watch_is_recent (site->watch));
}

static void
with_no_staleness_it_is_never_recent (void **state)
{
  Site *site = *state;
  watch (site, &scripted_shared_store, 0, 0);
  assert_false (ragify_store_watch_is_recent (site->watch));
  assert_int_equal (refresh (site), 1);
  assert_false (ragify_store_watch_is_recent (site->watch));
}

static void
a_store_that_does_not_tell_stays_what_it_was (void **state)
{
  Site *site = *state;
  watch (site, &scripted_shared_store, 0, SECOND_US);
  const RagifyStoreMark first = ragify_store_watch_mark (site->watch);
  g_atomic_int_set (&site->script.untold, TRUE);
  assert_int_equal (refresh (site), -1);
  assert_int_equal (ragify_store_watch_mark (site->watch).generation, first.generation);
}

static void
an_old_word_does_not_undo_a_commit (void **state)
{
  Site *site = *state;
  watch (site, &scripted_shared_store, 0, SECOND_US);
  commit (site, 2, 0);
  const RagifyStoreMark second = ragify_store_watch_mark (site->watch);
  assert_int_equal (refresh (site), 1); /* says 1: it was asked before our commit, as it were */
  assert_int_equal (ragify_store_watch_mark (site->watch).generation, second.generation);
}

/* Deletions and raises from one thread, marks and checks from another: what was deleted before a mark is never allowed
 * under it. */
typedef struct {
  Site *site;
  gint deleted, stop; /* atomic */
} Race;

static gpointer
delete_all (gpointer data)
{
  Race *race = data;
  for (guint i = 1; !g_atomic_int_get (&race->stop); i++) {
    commit (race->site, i + 1, i);
    g_atomic_int_set (&race->deleted, (gint)i); /* acknowledged */
  }
  return NULL;
}

static void
deleting_and_asking_may_cross (void **state)
{
  Site *site = *state;
  watch (site, &scripted_store, 5000, SECOND_US); /* as often as threads take turns on one core */
  Race race = { .site = site };
  GThread *thread = g_thread_new ("deletes", delete_all, &race);
  guint64 generation = 0;
  guint since = 0, checked = 0;
  while (checked < 100) {
    const guint deleted = (guint)g_atomic_int_get (&race.deleted);
    const RagifyStoreMark mark = ragify_store_watch_mark (site->watch);
    if (mark.generation != generation) {
      generation = mark.generation;
      since = (guint)g_atomic_int_get (&race.deleted) + 1; /* the one that raised it may not be acknowledged yet */
    } else if (deleted > since) {                          /* an answer under this generation may hold it */
      assert_false (allows (site, mark, deleted));
      checked++;
    }
  }
  g_atomic_int_set (&race.stop, 1);
  g_thread_join (thread);
}

int
main (void)
{
  cmocka_set_message_output (CM_OUTPUT_TAP);
#define SITE(name) cmocka_unit_test_setup_teardown (name, set_up_site, tear_down_site)
  const struct CMUnitTest tests[] = {
    SITE (each_commit_outdates),
    SITE (commits_outdate_later_and_deletes_at_once),
    SITE (commits_outdate_at_intervals),
    SITE (more_deletions_than_are_remembered_outdate),
    SITE (a_commit_that_skips_one_outdates_at_once),
    SITE (a_state_that_says_not_what_has_gone_outdates_at_once),
    SITE (what_others_write_is_asked_for),
    SITE (what_is_recent_is_not_asked_for),
    SITE (before_it_is_too_old_it_is_asked_for_early),
    SITE (a_store_of_our_own_is_not_asked),
    SITE (with_no_staleness_it_is_never_recent),
    SITE (a_store_that_does_not_tell_stays_what_it_was),
    SITE (an_old_word_does_not_undo_a_commit),
    SITE (deleting_and_asking_may_cross),
  };
  return cmocka_run_group_tests_name ("store-watch", tests, NULL, NULL);
}
