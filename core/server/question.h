/* A question: what an exchange asks a pipeline, held to what the exchange's key is held to.
 *
 * SPDX-License-Identifier: MIT
 *
 * Every route that asks does it this way, so that no way around a key's filter and limits is left open.
 */
#pragma once

#include "exchange.h"

typedef struct RagifyQuestion RagifyQuestion;

/* Runs once on the exchange's loop, unless the question was forgotten. The answer lives as long as the request. */
typedef void (*RagifyQuestionAnswered) (RagifyExchange *exchange, RagifyRequest *request, const RagifyAnswer *answer,
                                        void *user);

/* Asks the pipeline that `request` names, and takes `request`. Its time begins with the exchange's, unless `began` is
 * set. FALSE: refused, with the exchange's problem set.
 * `*place` is the question until it was answered or forgotten, then NULL; `answered` may run before this returns.
 * [loop] */
gboolean ragify_question_ask (RagifyExchange *exchange, RagifyRequest *request, void **place,
                              RagifyQuestionAnswered answered, void *user);
/* Nobody waits for the answer any more: it comes soon, with status 499. [loop] */
void ragify_question_cancel (RagifyQuestion *question);
/* Cancels, and `answered` does not run: the exchange goes away. [loop] */
void ragify_question_forget (RagifyQuestion *question);
