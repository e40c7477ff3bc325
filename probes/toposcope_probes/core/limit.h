/* The limit of a target's wall time where the key max_ms was not given, for kernels whose visits take longer
 * than the common limit allows on a busy machine. */
#ifndef TOPOSCOPE_LIMIT_H
#define TOPOSCOPE_LIMIT_H

#include "request.h"

static inline unsigned limit_ms(struct request *request, unsigned own_ms)
{
    return request_text(request, "max_ms", NULL) != NULL ? request->max_ms : own_ms;
}

#endif
