/* Order statistics of a few values; the values are put in ascending order on the way. */
#ifndef TOPOSCOPE_MEDIAN_H
#define TOPOSCOPE_MEDIAN_H

#include <stdlib.h>

static inline int median_compare(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

/* The nearest-rank quantile, a value that was measured; 0 of none. */
static inline double quantile_of(double *values, unsigned count, double share)
{
    qsort(values, count, sizeof *values, median_compare);
    unsigned rank = (unsigned)(share * count);
    return count == 0 ? 0 : values[rank < count ? rank : count - 1];
}

static inline double median_of(double *values, unsigned count)
{
    return quantile_of(values, count, 0.5);
}

#endif
