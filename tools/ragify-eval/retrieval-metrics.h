/* The measures of retrieval quality, each for one query.
 *
 * ranking: document ids, best first, none twice. judgments: id → grade (GINT_TO_POINTER; above 0 is relevant; what is
 * not in it counts as 0). A query with no relevant document at all has no measure; leave it out of the mean. [any]
 */
#pragma once

#include <glib.h>

/* Documents with a grade above 0. */
guint ragify_metric_count_relevant (GHashTable *judgments);

/* Normalised discounted cumulative gain at cut, with linear gain: Σ grade / log2 (rank + 1), divided by the same of the
 * best possible ranking. The form of trec_eval's ndcg_cut and of BEIR (K. Järvelin, J. Kekäläinen, "Cumulated
 * gain-based evaluation of IR techniques", ACM TOIS 2002). */
double ragify_metric_ndcg (const GPtrArray *ranking, GHashTable *judgments, guint cut);

/* The share of all relevant documents that is among the first cut. */
double ragify_metric_recall (const GPtrArray *ranking, GHashTable *judgments, guint cut);

/* 1 / rank of the first relevant document, 0 when none is among the first cut. */
double ragify_metric_reciprocal_rank (const GPtrArray *ranking, GHashTable *judgments, guint cut);
