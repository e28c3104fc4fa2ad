-- Conflicts added up by run and class. Reports that need no more than that ask here: it is one pass that groups by few words.
SELECT run, class, any_value(risk) AS risk, count(*) AS conflicts, sum(npages) AS pages, sum(bytes) AS bytes
FROM conflicts
GROUP BY run, class
