/* Balancers as the configuration describes them.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include "config/config.h"
#include "core/balance/balancer.h"

/* `find` gives the node that was made of a group, or NULL. NULL when none of the members is there. [control] */
RagifyBalancer *
ragify_balancer_from_config (const RagifyConfigNode *config, RagifyMetrics *metrics,
                             RagifyNode *(*find) (void *user, const RagifyConfigNode *config), void *user);
