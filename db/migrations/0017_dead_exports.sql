-- Jobs that were given up are counted whenever somebody looks at how the queue is doing.
create index export_job_failed on export_job (attempts) where status = 'failed';
