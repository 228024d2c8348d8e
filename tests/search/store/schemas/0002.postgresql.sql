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
CREATE TABLE public.agents (
    device character varying(255) NOT NULL,
    token_sha256 character varying(64) NOT NULL,
    instance character varying(64),
    profile_digest character varying(64),
    offer json NOT NULL,
    created_at timestamp with time zone NOT NULL,
    seen_at timestamp with time zone,
    revoked_at timestamp with time zone
);
CREATE TABLE public.capabilities (
    profile_digest character varying(64) NOT NULL,
    record json NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE public.devices (
    name character varying(255) NOT NULL,
    profile_digest character varying(64) NOT NULL,
    seen_at timestamp with time zone NOT NULL
);
CREATE TABLE public.errands (
    errand_id character varying(32) NOT NULL,
    device character varying(255) NOT NULL,
    profile_digest character varying(64) NOT NULL,
    request json NOT NULL,
    state character varying(32) NOT NULL,
    epoch integer NOT NULL,
    deaths integer NOT NULL,
    holder character varying(64),
    lease_until timestamp with time zone,
    result json,
    created_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone
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
    lease_until timestamp with time zone,
    devices json,
    prediction json
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
INSERT INTO public.devices VALUES ('dry-run', '126e7f375e5ff2a6c958524c2ae5c5523c4f4572acf027ff672d74c7e8289fde', '2026-11-28 22:22:50.029545+00');
INSERT INTO public.fronts VALUES ('8e7bde0a', 1, '{"objectives":[{"metric":"cosine","direction":"max"},{"metric":"speedup","direction":"max"}],"hypervolume":{"value":0.0003652,"reference":{"cosine":0.9,"speedup":1.0}},"members":["6f51ae32a54f"],"tied_with":{},"nearest_miss":null,"fastest":"6f51ae32a54f","unconfirmed":{},"final":false}', '2026-11-28 22:23:03.831501+00');
INSERT INTO public.fronts VALUES ('8e7bde0a', 2, '{"objectives":[{"metric":"cosine","direction":"max"},{"metric":"speedup","direction":"max"}],"hypervolume":{"value":0.061974176,"reference":{"cosine":0.9,"speedup":1.0}},"members":["2907fa2590b7","e0c81f3e9be8","4de5db28c68f","6f51ae32a54f"],"tied_with":{},"nearest_miss":null,"fastest":"2907fa2590b7","unconfirmed":{},"final":false}', '2026-11-28 22:23:04.029486+00');
INSERT INTO public.fronts VALUES ('8e7bde0a', 3, '{"objectives":[{"metric":"cosine","direction":"max"},{"metric":"speedup","direction":"max"}],"hypervolume":{"value":0.061974176,"reference":{"cosine":0.9,"speedup":1.0}},"members":["2907fa2590b7","e0c81f3e9be8","4de5db28c68f","6f51ae32a54f"],"tied_with":{},"nearest_miss":null,"fastest":"2907fa2590b7","unconfirmed":{},"final":true}', '2026-11-28 22:23:05.679516+00');
INSERT INTO public.jobs VALUES ('8e7bde0a', 'an earlier search', 'done', '{"version":1,"name":"an earlier search","task":{"name":"digits","options":{"width":8}},"devices":[{"name":"dry-run","threads":1,"batch":1}],"objectives":[{"metric":"cosine","direction":"max","device":null,"aggregate":null},{"metric":"speedup","direction":"max","device":null,"aggregate":null}],"constraints":[],"space":{"precision":{"choices":["fp32","int8"]}},"recovery":{"epochs":10,"steps":null,"batch":64,"learning_rate":0.001,"warm_up":0.1,"weight_decay":0.01,"gradient_clip":null,"losses":{"task":{},"kl":{}},"patience":3,"evaluate_every":null,"halving":null,"precision":"auto","threads":null,"seed":0},"strategy":{"name":"random","options":{}},"budget":{"trials":6,"minutes":null,"batch":null,"parallel":1},"limits":{"training_s":3600.0,"exporting_s":600.0,"building_s":300.0,"measuring_s":300.0,"device_s":600.0,"memory_bytes":null},"seed":0}', '/jobs', 'dry-run', '126e7f375e5ff2a6c958524c2ae5c5523c4f4572acf027ff672d74c7e8289fde', '{"decisions":[{"name":"precision:stem+blocks/blocks.0/conv2","choices":["fp32","int8"],"technique":"precision","target":"stem+blocks/blocks.0/conv2","scope":"layer","device":null},{"name":"precision:blocks/blocks.0/conv1","choices":["fp32","int8"],"technique":"precision","target":"blocks/blocks.0/conv1","scope":"layer","device":null},{"name":"precision:blocks/blocks.1/conv1","choices":["fp32","int8"],"technique":"precision","target":"blocks/blocks.1/conv1","scope":"layer","device":null},{"name":"precision:blocks/blocks.1/conv2+shortcut/shortcut.0","choices":["fp32","int8"],"technique":"precision","target":"blocks/blocks.1/conv2+shortcut/shortcut.0","scope":"layer","device":null},{"name":"precision:blocks/blocks.2/conv1","choices":["fp32","int8"],"technique":"precision","target":"blocks/blocks.2/conv1","scope":"layer","device":null},{"name":"precision:blocks/blocks.2/conv2+shortcut/shortcut.0","choices":["fp32","int8"],"technique":"precision","target":"blocks/blocks.2/conv2+shortcut/shortcut.0","scope":"layer","device":null},{"name":"precision:head","choices":["fp32","int8"],"technique":"precision","target":"head","scope":"layer","device":null}],"context":"f0429830881ae0fb33b54008e53c8abece85e61749a0c1118b015deac1d13973"}', '{"metrics":{"accuracy":0.97,"cosine":1.0,"latency_ms":{"p50":0.140704,"ci95":[0.139297,0.142111],"n":0},"speedup":{"ratio":1.0,"ci95":[1.0,1.0]},"size_bytes":78856,"peak_memory_bytes":157712,"bit_operations":3162832896},"facts":{"subject":"25d3187455c210364601557c4a20d28c74f49ff672bd83ea6b857713a291b0d6","model_path":"/jobs/homeA/cache/models/596bbdae5bacf7b76c5e21499f4925262bef94b6789fc87673183b4b093ab40b.onnx","model_sha256":"596bbdae5bacf7b76c5e21499f4925262bef94b6789fc87673183b4b093ab40b","groups":[{"name":"stem+blocks/blocks.0/conv2","nodes":["/stem/Conv","/blocks/blocks.0/conv2/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":663552,"weights":648,"values":25600,"written":16384},{"name":"blocks/blocks.0/conv1","nodes":["/blocks/blocks.0/conv1/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":589824,"weights":576,"values":16384,"written":8192},{"name":"blocks/blocks.1/conv1","nodes":["/blocks/blocks.1/conv1/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":294912,"weights":1152,"values":12288,"written":4096},{"name":"blocks/blocks.1/conv2+shortcut/shortcut.0","nodes":["/blocks/blocks.1/conv2/Conv","/blocks/blocks.1/shortcut/shortcut.0/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":622592,"weights":2432,"values":20480,"written":8192},{"name":"blocks/blocks.2/conv1","nodes":["/blocks/blocks.2/conv1/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":294912,"weights":4608,"values":6144,"written":2048},{"name":"blocks/blocks.2/conv2+shortcut/shortcut.0","nodes":["/blocks/blocks.2/conv2/Conv","/blocks/blocks.2/shortcut/shortcut.0/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":622592,"weights":9728,"values":10240,"written":4096},{"name":"head","nodes":["/head/Gemm"],"kind":"Gemm","precisions":["fp32","int8","int8_dynamic","int8_weight","int4_weight"],"macs":320,"weights":320,"values":42,"written":10}],"shared_split":false,"notes":[],"digests":{"model":"596bbdae5bacf7b76c5e21499f4925262bef94b6789fc87673183b4b093ab40b","data":"6407a4cd654d6113cdd868b70374cc4b11474cee18f6f3ee937bbc5d0741d602","task":"6407a4cd654d6113cdd868b70374cc4b11474cee18f6f3ee937bbc5d0741d602"},"coverage":{"layers":10,"decided":10,"decisions":7,"left_alone":[],"left_out":[],"unanswered":[]},"time_s":{"preparing":3.84,"searching":11.623,"confirming":0.01}}}', '{"_block":1}', NULL, NULL, '2026-11-28 22:22:50.047294+00', '2026-11-28 22:22:50.170738+00', '2026-11-28 22:23:05.690944+00', 15.526351970998803, 1, NULL, NULL, '[{"device":"dry-run","profile_digest":"126e7f375e5ff2a6c958524c2ae5c5523c4f4572acf027ff672d74c7e8289fde"}]', NULL);
INSERT INTO public.paretune_version VALUES ('0002');
INSERT INTO public.profiles VALUES ('126e7f375e5ff2a6c958524c2ae5c5523c4f4572acf027ff672d74c7e8289fde', '{"device":"dry-run","runtime":"null","runtime_version":"1","processor":"modelled","instruction_sets":[],"cores":[],"memory_bytes":0,"threads":1,"batch":1,"simulated":true,"runtimes":[],"machine":null,"gpu":null,"peaks":null,"agent":false,"core_type":""}', '2026-11-28 22:22:50.029545+00');
INSERT INTO public.trials VALUES ('6f51ae32a54f', '8e7bde0a', 0, 0, 'aefe9f73a32e6514ba5fa63a39d8333bd957f025d242bc9c09e7d226e58beead', '{"precision:stem+blocks/blocks.0/conv2":"fp32","precision:blocks/blocks.0/conv1":"fp32","precision:blocks/blocks.1/conv1":"fp32","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"fp32","precision:blocks/blocks.2/conv1":"fp32","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"fp32","precision:head":"fp32"}', 'random', true, 'done', NULL, '{"accuracy":0.97,"cosine":1.0,"latency_ms":{"p50":0.140704,"ci95":[0.139297,0.142111],"n":0},"speedup":{"ratio":1.003652,"ci95":[0.993616,1.013689]},"size_bytes":78856,"peak_memory_bytes":157712,"bit_operations":3162832896}', NULL, 0.011);
INSERT INTO public.trials VALUES ('2907fa2590b7', '8e7bde0a', 4, 0, 'ee10ff706fa46d530f0dae1a5292bb350e1c0cdfdd26ae31d9ebd5558c082688', '{"precision:stem+blocks/blocks.0/conv2":"int8","precision:blocks/blocks.0/conv1":"int8","precision:blocks/blocks.1/conv1":"int8","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"int8","precision:blocks/blocks.2/conv1":"int8","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"int8","precision:head":"fp32"}', 'random', true, 'done', NULL, '{"accuracy":0.967426,"cosine":0.994851137,"latency_ms":{"p50":0.085814,"ci95":[0.084956,0.086672],"n":0},"speedup":{"ratio":1.645631,"ci95":[1.629175,1.662087]},"size_bytes":21424,"peak_memory_bytes":42848,"bit_operations":197984256}', NULL, 0.007);
INSERT INTO public.trials VALUES ('d8b2f8a73aa9', '8e7bde0a', 1, 0, 'bdb34bb1a2abef06f14e748cd50f86f47fc80c97b46166bf42f7811b6e484f94', '{"precision:stem+blocks/blocks.0/conv2":"int8","precision:blocks/blocks.0/conv1":"int8","precision:blocks/blocks.1/conv1":"int8","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"int8","precision:blocks/blocks.2/conv1":"int8","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"int8","precision:head":"int8"}', 'random', true, 'done', NULL, '{"accuracy":0.966252,"cosine":0.992503302,"latency_ms":{"p50":0.085922,"ci95":[0.085063,0.086781],"n":0},"speedup":{"ratio":1.643555,"ci95":[1.627119,1.65999]},"size_bytes":20464,"peak_memory_bytes":40928,"bit_operations":197677056}', NULL, 0.037);
INSERT INTO public.trials VALUES ('655cb6770310', '8e7bde0a', 2, 0, '1e11406b07801439f808c4f43852de9f8cb54d295d55ae210c5adb63144d995b', '{"precision:stem+blocks/blocks.0/conv2":"int8","precision:blocks/blocks.0/conv1":"int8","precision:blocks/blocks.1/conv1":"int8","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"fp32","precision:blocks/blocks.2/conv1":"fp32","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"fp32","precision:head":"fp32"}', 'random', true, 'done', NULL, '{"accuracy":0.967522,"cosine":0.995044356,"latency_ms":{"p50":0.112893,"ci95":[0.111765,0.114022],"n":0},"speedup":{"ratio":1.250893,"ci95":[1.238384,1.263402]},"size_bytes":71728,"peak_memory_bytes":143456,"bit_operations":1676476416}', NULL, 0.008);
INSERT INTO public.trials VALUES ('e0c81f3e9be8', '8e7bde0a', 5, 0, '3018ac07fee4194104c708be1dc38533c9ca8417774f7bdd41130e4394310b89', '{"precision:stem+blocks/blocks.0/conv2":"int8","precision:blocks/blocks.0/conv1":"int8","precision:blocks/blocks.1/conv1":"fp32","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"fp32","precision:blocks/blocks.2/conv1":"int8","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"int8","precision:head":"fp32"}', 'random', true, 'done', NULL, '{"accuracy":0.967458,"cosine":0.99491687,"latency_ms":{"p50":0.103412,"ci95":[0.102377,0.104446],"n":0},"speedup":{"ratio":1.365588,"ci95":[1.351933,1.379244]},"size_bytes":32176,"peak_memory_bytes":64352,"bit_operations":1078788096}', NULL, 0.007);
INSERT INTO public.trials VALUES ('4de5db28c68f', '8e7bde0a', 3, 0, '9a129ae4e8f0c714f3311124b89927fccc02bbe88e52cd3349242abc18af2376', '{"precision:stem+blocks/blocks.0/conv2":"fp32","precision:blocks/blocks.0/conv1":"fp32","precision:blocks/blocks.1/conv1":"int8","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"int8","precision:blocks/blocks.2/conv1":"int8","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"int8","precision:head":"int8"}', 'random', true, 'done', NULL, '{"accuracy":0.968626,"cosine":0.997252369,"latency_ms":{"p50":0.108607,"ci95":[0.10752,0.109693],"n":0},"speedup":{"ratio":1.300268,"ci95":[1.287266,1.313271]},"size_bytes":24136,"peak_memory_bytes":48272,"bit_operations":1400918016}', NULL, 0.007);
SELECT pg_catalog.setval('public.exports_id_seq', 1, false);
SELECT pg_catalog.setval('public.measurements_id_seq', 1, false);
ALTER TABLE ONLY public.paretune_version
    ADD CONSTRAINT paretune_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.agents
    ADD CONSTRAINT pk_agents PRIMARY KEY (device);
ALTER TABLE ONLY public.capabilities
    ADD CONSTRAINT pk_capabilities PRIMARY KEY (profile_digest);
ALTER TABLE ONLY public.devices
    ADD CONSTRAINT pk_devices PRIMARY KEY (name);
ALTER TABLE ONLY public.errands
    ADD CONSTRAINT pk_errands PRIMARY KEY (errand_id);
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
ALTER TABLE ONLY public.agents
    ADD CONSTRAINT uq_agents_token_sha256 UNIQUE (token_sha256);
ALTER TABLE ONLY public.trials
    ADD CONSTRAINT uq_trials_job_id_digest UNIQUE (job_id, digest);
ALTER TABLE ONLY public.trials
    ADD CONSTRAINT uq_trials_job_id_number UNIQUE (job_id, number);
CREATE INDEX ix_errands_device ON public.errands USING btree (device);
CREATE INDEX ix_exports_candidate_id ON public.exports USING btree (candidate_id);
CREATE INDEX ix_jobs_name ON public.jobs USING btree (name);
CREATE INDEX ix_measurements_candidate_id ON public.measurements USING btree (candidate_id);
ALTER TABLE ONLY public.agents
    ADD CONSTRAINT fk_agents_profile_digest FOREIGN KEY (profile_digest) REFERENCES public.profiles(digest);
ALTER TABLE ONLY public.capabilities
    ADD CONSTRAINT fk_capabilities_profile_digest FOREIGN KEY (profile_digest) REFERENCES public.profiles(digest);
ALTER TABLE ONLY public.devices
    ADD CONSTRAINT fk_devices_profile_digest FOREIGN KEY (profile_digest) REFERENCES public.profiles(digest);
ALTER TABLE ONLY public.errands
    ADD CONSTRAINT fk_errands_profile_digest FOREIGN KEY (profile_digest) REFERENCES public.profiles(digest);
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
