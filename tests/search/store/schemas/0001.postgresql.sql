SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.devices (
    name character varying(255) NOT NULL,
    profile_digest character varying(64) NOT NULL,
    seen_at timestamp with time zone NOT NULL
);
CREATE TABLE public.exports (
    id integer NOT NULL,
    candidate_id character varying(12) NOT NULL,
    folder text NOT NULL,
    verdict text NOT NULL,
    receipt json NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.exports_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.exports_id_seq OWNED BY public.exports.id;
CREATE TABLE public.fronts (
    job_id character varying(8) NOT NULL,
    version integer NOT NULL,
    front json NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE public.jobs (
    job_id character varying(8) NOT NULL,
    name text NOT NULL,
    state character varying(32) NOT NULL,
    spec json NOT NULL,
    spec_folder text NOT NULL,
    device character varying(255) NOT NULL,
    profile_digest character varying(64) NOT NULL,
    space json,
    baseline json,
    strategy_state json,
    error text,
    hint text,
    created_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    wall_s double precision NOT NULL,
    epoch integer NOT NULL,
    lease_owner json,
    lease_until timestamp with time zone
);
CREATE TABLE public.measurements (
    id integer NOT NULL,
    candidate_id character varying(12) NOT NULL,
    phase character varying(32) NOT NULL,
    record json NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE SEQUENCE public.measurements_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.measurements_id_seq OWNED BY public.measurements.id;
CREATE TABLE public.paretune_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.profiles (
    digest character varying(64) NOT NULL,
    data json NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE public.trials (
    candidate_id character varying(12) NOT NULL,
    job_id character varying(8) NOT NULL,
    number integer NOT NULL,
    block integer NOT NULL,
    digest character varying(64) NOT NULL,
    decisions json NOT NULL,
    strategy character varying(255) NOT NULL,
    simulated boolean NOT NULL,
    state character varying(32) NOT NULL,
    reason text,
    metrics json NOT NULL,
    artifact_sha256 character varying(64),
    wall_s double precision NOT NULL
);
ALTER TABLE ONLY public.exports ALTER COLUMN id SET DEFAULT nextval('public.exports_id_seq'::regclass);
ALTER TABLE ONLY public.measurements ALTER COLUMN id SET DEFAULT nextval('public.measurements_id_seq'::regclass);
INSERT INTO public.devices VALUES ('dry-run', '126e7f375e5ff2a6c958524c2ae5c5523c4f4572acf027ff672d74c7e8289fde', '2026-11-28 22:19:51.152479+00');
INSERT INTO public.fronts VALUES ('b30be1b0', 1, '{"objectives":[{"metric":"cosine","direction":"max"},{"metric":"speedup","direction":"max"}],"hypervolume":{"value":0.0,"reference":{"cosine":0.9,"speedup":1.0}},"members":["a20e8760bf86"],"tied_with":{},"nearest_miss":null,"final":false}', '2026-11-28 22:20:08.381866+00');
INSERT INTO public.fronts VALUES ('b30be1b0', 2, '{"objectives":[{"metric":"cosine","direction":"max"},{"metric":"speedup","direction":"max"}],"hypervolume":{"value":0.061614139,"reference":{"cosine":0.9,"speedup":1.0}},"members":["db52ac84a3ad","44f6eed0c227","2bd0fb374176","a20e8760bf86"],"tied_with":{},"nearest_miss":null,"final":false}', '2026-11-28 22:20:08.505398+00');
INSERT INTO public.fronts VALUES ('b30be1b0', 3, '{"objectives":[{"metric":"cosine","direction":"max"},{"metric":"speedup","direction":"max"}],"hypervolume":{"value":0.061614139,"reference":{"cosine":0.9,"speedup":1.0}},"members":["db52ac84a3ad","44f6eed0c227","2bd0fb374176","a20e8760bf86"],"tied_with":{},"nearest_miss":null,"final":true}', '2026-11-28 22:20:10.026394+00');
INSERT INTO public.jobs VALUES ('b30be1b0', 'an earlier search', 'done', '{"version":1,"name":"an earlier search","task":{"name":"digits","options":{"width":8}},"devices":[{"name":"dry-run","threads":1,"batch":1}],"objectives":[{"metric":"cosine","direction":"max"},{"metric":"speedup","direction":"max"}],"constraints":[],"space":{"precision":{"choices":["fp32","int8"]}},"strategy":{"name":"random","options":{}},"budget":{"trials":6,"minutes":null,"batch":null,"parallel":1},"limits":{"training_s":3600.0,"exporting_s":600.0,"building_s":300.0,"measuring_s":300.0,"memory_bytes":null},"seed":0}', '/jobs', 'dry-run', '126e7f375e5ff2a6c958524c2ae5c5523c4f4572acf027ff672d74c7e8289fde', '{"decisions":[{"name":"precision:stem+blocks/blocks.0/conv2","choices":["fp32","int8"],"technique":"precision"},{"name":"precision:blocks/blocks.0/conv1","choices":["fp32","int8"],"technique":"precision"},{"name":"precision:blocks/blocks.1/conv1","choices":["fp32","int8"],"technique":"precision"},{"name":"precision:blocks/blocks.1/conv2+shortcut/shortcut.0","choices":["fp32","int8"],"technique":"precision"},{"name":"precision:blocks/blocks.2/conv1","choices":["fp32","int8"],"technique":"precision"},{"name":"precision:blocks/blocks.2/conv2+shortcut/shortcut.0","choices":["fp32","int8"],"technique":"precision"},{"name":"precision:head","choices":["fp32","int8"],"technique":"precision"}],"context":"c7bd2149b57962f9cd41b7e30e21d3925085a72ceaee03c89d3fcde22934cb51"}', '{"metrics":{"accuracy":0.97,"cosine":1.0,"latency_ms":{"p50":0.141875,"ci95":[0.140457,0.143294],"n":0},"speedup":{"ratio":1.0,"ci95":[1.0,1.0]},"size_bytes":78856,"peak_memory_bytes":157712},"facts":{"subject":"34c768a1cd098f0d057f50a7de188e0b3c86b0e3f5451c86116b343626521f07","model_path":"/jobs/homeA/cache/models/34c768a1cd098f0d057f50a7de188e0b3c86b0e3f5451c86116b343626521f07.onnx","model_sha256":"596bbdae5bacf7b76c5e21499f4925262bef94b6789fc87673183b4b093ab40b","groups":[{"name":"stem+blocks/blocks.0/conv2","nodes":["/stem/Conv","/blocks/blocks.0/conv2/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":663552,"weights":648},{"name":"blocks/blocks.0/conv1","nodes":["/blocks/blocks.0/conv1/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":589824,"weights":576},{"name":"blocks/blocks.1/conv1","nodes":["/blocks/blocks.1/conv1/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":294912,"weights":1152},{"name":"blocks/blocks.1/conv2+shortcut/shortcut.0","nodes":["/blocks/blocks.1/conv2/Conv","/blocks/blocks.1/shortcut/shortcut.0/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":622592,"weights":2432},{"name":"blocks/blocks.2/conv1","nodes":["/blocks/blocks.2/conv1/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":294912,"weights":4608},{"name":"blocks/blocks.2/conv2+shortcut/shortcut.0","nodes":["/blocks/blocks.2/conv2/Conv","/blocks/blocks.2/shortcut/shortcut.0/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":622592,"weights":9728},{"name":"head","nodes":["/head/Gemm"],"kind":"Gemm","precisions":["fp32","int8","int8_dynamic","int8_weight","int4_weight"],"macs":320,"weights":320}],"shared_split":false}}', '{}', NULL, NULL, '2026-11-28 22:19:51.168053+00', '2026-11-28 22:19:51.187853+00', '2026-11-28 22:20:10.031081+00', 18.846407258002728, 1, NULL, NULL);
INSERT INTO public.paretune_version VALUES ('0001');
INSERT INTO public.profiles VALUES ('126e7f375e5ff2a6c958524c2ae5c5523c4f4572acf027ff672d74c7e8289fde', '{"device":"dry-run","runtime":"null","runtime_version":"1","processor":"modelled","instruction_sets":[],"cores":[],"memory_bytes":0,"threads":1,"batch":1,"simulated":true}', '2026-11-28 22:19:51.152479+00');
INSERT INTO public.trials VALUES ('a20e8760bf86', 'b30be1b0', 0, 0, '92ae734bd739a2f9627e9d24dd85e5f2d811676dae611d6163606086c51d8fe5', '{"precision:stem+blocks/blocks.0/conv2":"fp32","precision:blocks/blocks.0/conv1":"fp32","precision:blocks/blocks.1/conv1":"fp32","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"fp32","precision:blocks/blocks.2/conv1":"fp32","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"fp32","precision:head":"fp32"}', 'random', true, 'done', NULL, '{"accuracy":0.97,"cosine":1.0,"latency_ms":{"p50":0.141875,"ci95":[0.140457,0.143294],"n":0},"speedup":{"ratio":0.995364,"ci95":[0.98541,1.005318]},"size_bytes":78856,"peak_memory_bytes":157712}', NULL, 0);
INSERT INTO public.trials VALUES ('db52ac84a3ad', 'b30be1b0', 4, 0, '137d3aedaab2b0db29f0f5b672616ad2dbb0873caf16cba3e968627c9112fbdb', '{"precision:stem+blocks/blocks.0/conv2":"int8","precision:blocks/blocks.0/conv1":"int8","precision:blocks/blocks.1/conv1":"int8","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"int8","precision:blocks/blocks.2/conv1":"int8","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"int8","precision:head":"fp32"}', 'random', true, 'done', NULL, '{"accuracy":0.967439,"cosine":0.994878056,"latency_ms":{"p50":0.086026,"ci95":[0.085166,0.086886],"n":0},"speedup":{"ratio":1.641573,"ci95":[1.625157,1.657988]},"size_bytes":21424,"peak_memory_bytes":42848}', NULL, 0);
INSERT INTO public.trials VALUES ('2844f55490ca', 'b30be1b0', 1, 0, 'b636fc542ecb3af99070c6deff36e5a3b110e255d20181ddcf2aae75e3d509eb', '{"precision:stem+blocks/blocks.0/conv2":"int8","precision:blocks/blocks.0/conv1":"int8","precision:blocks/blocks.1/conv1":"int8","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"int8","precision:blocks/blocks.2/conv1":"int8","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"int8","precision:head":"int8"}', 'random', true, 'done', NULL, '{"accuracy":0.966161,"cosine":0.992322759,"latency_ms":{"p50":0.086666,"ci95":[0.0858,0.087533],"n":0},"speedup":{"ratio":1.62944,"ci95":[1.613145,1.645734]},"size_bytes":20464,"peak_memory_bytes":40928}', NULL, 0);
INSERT INTO public.trials VALUES ('d2c584a0e624', 'b30be1b0', 2, 0, 'eab729e01788b13133e511dee2ff52f0056b00612e8e87cb89e4d6974b243c2f', '{"precision:stem+blocks/blocks.0/conv2":"int8","precision:blocks/blocks.0/conv1":"int8","precision:blocks/blocks.1/conv1":"int8","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"fp32","precision:blocks/blocks.2/conv1":"fp32","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"fp32","precision:head":"fp32"}', 'random', true, 'done', NULL, '{"accuracy":0.967512,"cosine":0.995023153,"latency_ms":{"p50":0.113928,"ci95":[0.112789,0.115067],"n":0},"speedup":{"ratio":1.239534,"ci95":[1.227139,1.251929]},"size_bytes":71728,"peak_memory_bytes":143456}', NULL, 0);
INSERT INTO public.trials VALUES ('44f6eed0c227', 'b30be1b0', 5, 0, 'a186eeaa3b1eb6df1a281b22efb2e5f1701b01de922db9d3748d54d842ebf084', '{"precision:stem+blocks/blocks.0/conv2":"int8","precision:blocks/blocks.0/conv1":"int8","precision:blocks/blocks.1/conv1":"fp32","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"fp32","precision:blocks/blocks.2/conv1":"int8","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"int8","precision:head":"fp32"}', 'random', true, 'done', NULL, '{"accuracy":0.967449,"cosine":0.994897199,"latency_ms":{"p50":0.102352,"ci95":[0.101329,0.103376],"n":0},"speedup":{"ratio":1.379721,"ci95":[1.365924,1.393518]},"size_bytes":32176,"peak_memory_bytes":64352}', NULL, 0);
INSERT INTO public.trials VALUES ('2bd0fb374176', 'b30be1b0', 3, 0, '358445976b8b55b3be5d9196721f5c28b4e1b1adefeabe0c6c1bbb6f0ad91f30', '{"precision:stem+blocks/blocks.0/conv2":"fp32","precision:blocks/blocks.0/conv1":"fp32","precision:blocks/blocks.1/conv1":"int8","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"int8","precision:blocks/blocks.2/conv1":"int8","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"int8","precision:head":"int8"}', 'random', true, 'done', NULL, '{"accuracy":0.968631,"cosine":0.997261895,"latency_ms":{"p50":0.107709,"ci95":[0.106632,0.108786],"n":0},"speedup":{"ratio":1.311106,"ci95":[1.297995,1.324217]},"size_bytes":24136,"peak_memory_bytes":48272}', NULL, 0);
SELECT pg_catalog.setval('public.exports_id_seq', 1, false);
SELECT pg_catalog.setval('public.measurements_id_seq', 1, false);
ALTER TABLE ONLY public.paretune_version
    ADD CONSTRAINT paretune_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.devices
    ADD CONSTRAINT pk_devices PRIMARY KEY (name);
ALTER TABLE ONLY public.exports
    ADD CONSTRAINT pk_exports PRIMARY KEY (id);
ALTER TABLE ONLY public.fronts
    ADD CONSTRAINT pk_fronts PRIMARY KEY (job_id, version);
ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT pk_jobs PRIMARY KEY (job_id);
ALTER TABLE ONLY public.measurements
    ADD CONSTRAINT pk_measurements PRIMARY KEY (id);
ALTER TABLE ONLY public.profiles
    ADD CONSTRAINT pk_profiles PRIMARY KEY (digest);
ALTER TABLE ONLY public.trials
    ADD CONSTRAINT pk_trials PRIMARY KEY (candidate_id);
ALTER TABLE ONLY public.trials
    ADD CONSTRAINT uq_trials_job_id_digest UNIQUE (job_id, digest);
ALTER TABLE ONLY public.trials
    ADD CONSTRAINT uq_trials_job_id_number UNIQUE (job_id, number);
CREATE INDEX ix_exports_candidate_id ON public.exports USING btree (candidate_id);
CREATE INDEX ix_jobs_name ON public.jobs USING btree (name);
CREATE INDEX ix_measurements_candidate_id ON public.measurements USING btree (candidate_id);
ALTER TABLE ONLY public.devices
    ADD CONSTRAINT fk_devices_profile_digest FOREIGN KEY (profile_digest) REFERENCES public.profiles(digest);
ALTER TABLE ONLY public.exports
    ADD CONSTRAINT fk_exports_candidate_id FOREIGN KEY (candidate_id) REFERENCES public.trials(candidate_id);
ALTER TABLE ONLY public.fronts
    ADD CONSTRAINT fk_fronts_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(job_id);
ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT fk_jobs_profile_digest FOREIGN KEY (profile_digest) REFERENCES public.profiles(digest);
ALTER TABLE ONLY public.measurements
    ADD CONSTRAINT fk_measurements_candidate_id FOREIGN KEY (candidate_id) REFERENCES public.trials(candidate_id);
ALTER TABLE ONLY public.trials
    ADD CONSTRAINT fk_trials_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(job_id);
