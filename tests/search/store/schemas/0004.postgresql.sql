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
    token_sha256 character varying(64),
    instance character varying(64),
    profile_digest character varying(64),
    offer json NOT NULL,
    created_at timestamp with time zone NOT NULL,
    seen_at timestamp with time zone,
    revoked_at timestamp with time zone,
    board character varying(255) DEFAULT ''::character varying NOT NULL,
    resource character varying(255)
);
CREATE TABLE public.artefacts (
    owner character varying(255) NOT NULL,
    sha256 character varying(64) NOT NULL,
    size_bytes bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone NOT NULL
);
CREATE TABLE public.audit (
    id integer NOT NULL,
    at timestamp with time zone NOT NULL,
    user_name character varying(255),
    token_id character varying(8),
    action character varying(255) NOT NULL,
    object text NOT NULL,
    address character varying(64),
    outcome character varying(32) NOT NULL
);
CREATE SEQUENCE public.audit_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.audit_id_seq OWNED BY public.audit.id;
CREATE TABLE public.capabilities (
    profile_digest character varying(64) NOT NULL,
    record json NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE public.dependencies (
    job_id character varying(8) NOT NULL,
    after_job_id character varying(8) NOT NULL
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
    finished_at timestamp with time zone,
    tried text DEFAULT ''::text NOT NULL
);
CREATE TABLE public.export_requests (
    export_id character varying(12) NOT NULL,
    job_id character varying(8) NOT NULL,
    candidate_id character varying(12) NOT NULL,
    options json NOT NULL,
    submitted_by character varying(255) NOT NULL,
    idempotency_key character varying(255),
    state character varying(32) NOT NULL,
    doing text,
    epoch integer NOT NULL,
    losses integer NOT NULL,
    lease_owner json,
    lease_until timestamp with time zone,
    bundle_sha256 character varying(64),
    receipt json,
    error text,
    hint text,
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
CREATE TABLE public.figures (
    job_id character varying(8) NOT NULL,
    number integer NOT NULL,
    metric text NOT NULL,
    state character varying(32) NOT NULL,
    value double precision NOT NULL
);
CREATE TABLE public.fronts (
    job_id character varying(8) NOT NULL,
    version integer NOT NULL,
    front json NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE public.job_logs (
    id integer NOT NULL,
    job_id character varying(8) NOT NULL,
    at timestamp with time zone NOT NULL,
    level character varying(16) NOT NULL,
    text text NOT NULL,
    candidate_id character varying(12)
);
CREATE SEQUENCE public.job_logs_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.job_logs_id_seq OWNED BY public.job_logs.id;
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
    prediction json,
    detached boolean DEFAULT false NOT NULL,
    submitted_by character varying(255) DEFAULT 'local'::character varying NOT NULL,
    project character varying(255) DEFAULT 'default'::character varying NOT NULL,
    priority integer DEFAULT 0 NOT NULL,
    idempotency_key character varying(255),
    files json,
    requested character varying(32),
    losses integer DEFAULT 0 NOT NULL,
    finished_at_loss integer DEFAULT 0 NOT NULL,
    retry_at timestamp with time zone,
    progress json
);
CREATE TABLE public.measurements (
    id integer NOT NULL,
    candidate_id character varying(12) NOT NULL,
    phase character varying(32) NOT NULL,
    record json NOT NULL,
    created_at timestamp with time zone NOT NULL,
    job_id character varying(8) DEFAULT ''::character varying NOT NULL
);
CREATE SEQUENCE public.measurements_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.measurements_id_seq OWNED BY public.measurements.id;
CREATE TABLE public.members (
    project character varying(255) NOT NULL,
    user_name character varying(255) NOT NULL,
    role character varying(32) NOT NULL
);
CREATE TABLE public.paretune_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.profiles (
    digest character varying(64) NOT NULL,
    data json NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE public.projects (
    name character varying(255) NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE public.sessions (
    sha256 character varying(64) NOT NULL,
    user_name character varying(255) NOT NULL,
    token_id character varying(8),
    scopes json NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL
);
CREATE TABLE public.tokens (
    token_id character varying(8) NOT NULL,
    user_name character varying(255) NOT NULL,
    label character varying(255) NOT NULL,
    sha256 character varying(64) NOT NULL,
    scopes json NOT NULL,
    project character varying(255),
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    used_at timestamp with time zone
);
CREATE TABLE public.trial_counts (
    job_id character varying(8) NOT NULL,
    state character varying(32) NOT NULL,
    count integer NOT NULL
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
CREATE TABLE public.uploads (
    upload_id character varying(32) NOT NULL,
    owner character varying(255) NOT NULL,
    sha256 character varying(64) NOT NULL,
    size_bytes bigint NOT NULL,
    changed_at timestamp with time zone NOT NULL
);
CREATE TABLE public.usage (
    submitted_by character varying(255) NOT NULL,
    used_s double precision NOT NULL,
    at timestamp with time zone NOT NULL
);
CREATE TABLE public.users (
    name character varying(255) NOT NULL,
    admin boolean NOT NULL,
    subject character varying(512),
    created_at timestamp with time zone NOT NULL,
    disabled_at timestamp with time zone
);
CREATE TABLE public.workers (
    worker_id character varying(16) NOT NULL,
    owner json NOT NULL,
    slots integer NOT NULL,
    started_at timestamp with time zone NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    stopped_at timestamp with time zone,
    refusals json
);
ALTER TABLE ONLY public.audit ALTER COLUMN id SET DEFAULT nextval('public.audit_id_seq'::regclass);
ALTER TABLE ONLY public.exports ALTER COLUMN id SET DEFAULT nextval('public.exports_id_seq'::regclass);
ALTER TABLE ONLY public.job_logs ALTER COLUMN id SET DEFAULT nextval('public.job_logs_id_seq'::regclass);
ALTER TABLE ONLY public.measurements ALTER COLUMN id SET DEFAULT nextval('public.measurements_id_seq'::regclass);
INSERT INTO public.devices VALUES ('dry-run', '126e7f375e5ff2a6c958524c2ae5c5523c4f4572acf027ff672d74c7e8289fde', '2026-11-29 02:12:57.831461+00');
INSERT INTO public.figures VALUES ('a89ece36', 0, 'accuracy', 'done', 0.97);
INSERT INTO public.figures VALUES ('a89ece36', 0, 'cosine', 'done', 1);
INSERT INTO public.figures VALUES ('a89ece36', 0, 'latency_ms', 'done', 0.140704);
INSERT INTO public.figures VALUES ('a89ece36', 0, 'speedup', 'done', 1.003652);
INSERT INTO public.figures VALUES ('a89ece36', 0, 'size_bytes', 'done', 78856);
INSERT INTO public.figures VALUES ('a89ece36', 0, 'peak_memory_bytes', 'done', 157712);
INSERT INTO public.figures VALUES ('a89ece36', 0, 'bit_operations', 'done', 3162832896);
INSERT INTO public.figures VALUES ('a89ece36', 1, 'accuracy', 'done', 0.966252);
INSERT INTO public.figures VALUES ('a89ece36', 1, 'cosine', 'done', 0.992503302);
INSERT INTO public.figures VALUES ('a89ece36', 1, 'latency_ms', 'done', 0.085922);
INSERT INTO public.figures VALUES ('a89ece36', 1, 'speedup', 'done', 1.643555);
INSERT INTO public.figures VALUES ('a89ece36', 1, 'size_bytes', 'done', 20464);
INSERT INTO public.figures VALUES ('a89ece36', 1, 'peak_memory_bytes', 'done', 40928);
INSERT INTO public.figures VALUES ('a89ece36', 1, 'bit_operations', 'done', 197677056);
INSERT INTO public.figures VALUES ('a89ece36', 2, 'accuracy', 'done', 0.967522);
INSERT INTO public.figures VALUES ('a89ece36', 2, 'cosine', 'done', 0.995044356);
INSERT INTO public.figures VALUES ('a89ece36', 2, 'latency_ms', 'done', 0.112893);
INSERT INTO public.figures VALUES ('a89ece36', 2, 'speedup', 'done', 1.250893);
INSERT INTO public.figures VALUES ('a89ece36', 2, 'size_bytes', 'done', 71728);
INSERT INTO public.figures VALUES ('a89ece36', 2, 'peak_memory_bytes', 'done', 143456);
INSERT INTO public.figures VALUES ('a89ece36', 2, 'bit_operations', 'done', 1676476416);
INSERT INTO public.figures VALUES ('a89ece36', 3, 'accuracy', 'done', 0.968626);
INSERT INTO public.figures VALUES ('a89ece36', 3, 'cosine', 'done', 0.997252369);
INSERT INTO public.figures VALUES ('a89ece36', 3, 'latency_ms', 'done', 0.108607);
INSERT INTO public.figures VALUES ('a89ece36', 3, 'speedup', 'done', 1.300268);
INSERT INTO public.figures VALUES ('a89ece36', 3, 'size_bytes', 'done', 24136);
INSERT INTO public.figures VALUES ('a89ece36', 3, 'peak_memory_bytes', 'done', 48272);
INSERT INTO public.figures VALUES ('a89ece36', 3, 'bit_operations', 'done', 1400918016);
INSERT INTO public.figures VALUES ('a89ece36', 4, 'accuracy', 'done', 0.967426);
INSERT INTO public.figures VALUES ('a89ece36', 4, 'cosine', 'done', 0.994851137);
INSERT INTO public.figures VALUES ('a89ece36', 4, 'latency_ms', 'done', 0.085814);
INSERT INTO public.figures VALUES ('a89ece36', 4, 'speedup', 'done', 1.645631);
INSERT INTO public.figures VALUES ('a89ece36', 4, 'size_bytes', 'done', 21424);
INSERT INTO public.figures VALUES ('a89ece36', 4, 'peak_memory_bytes', 'done', 42848);
INSERT INTO public.figures VALUES ('a89ece36', 4, 'bit_operations', 'done', 197984256);
INSERT INTO public.figures VALUES ('a89ece36', 5, 'accuracy', 'done', 0.967458);
INSERT INTO public.figures VALUES ('a89ece36', 5, 'cosine', 'done', 0.99491687);
INSERT INTO public.figures VALUES ('a89ece36', 5, 'latency_ms', 'done', 0.103412);
INSERT INTO public.figures VALUES ('a89ece36', 5, 'speedup', 'done', 1.365588);
INSERT INTO public.figures VALUES ('a89ece36', 5, 'size_bytes', 'done', 32176);
INSERT INTO public.figures VALUES ('a89ece36', 5, 'peak_memory_bytes', 'done', 64352);
INSERT INTO public.figures VALUES ('a89ece36', 5, 'bit_operations', 'done', 1078788096);
INSERT INTO public.fronts VALUES ('a89ece36', 1, '{"objectives":[{"metric":"cosine","direction":"max"},{"metric":"speedup","direction":"max"}],"hypervolume":{"value":0.0003652,"reference":{"cosine":0.9,"speedup":1.0}},"members":["fe308d84922c"],"tied_with":{},"nearest_miss":null,"fastest":"fe308d84922c","unconfirmed":{},"final":false}', '2026-11-29 02:12:58.708684+00');
INSERT INTO public.fronts VALUES ('a89ece36', 2, '{"objectives":[{"metric":"cosine","direction":"max"},{"metric":"speedup","direction":"max"}],"hypervolume":{"value":0.061974176,"reference":{"cosine":0.9,"speedup":1.0}},"members":["3b36f5163891","c0e828f5b031","bc15e56357f8","fe308d84922c"],"tied_with":{},"nearest_miss":null,"fastest":"3b36f5163891","unconfirmed":{},"final":false}', '2026-11-29 02:12:58.797008+00');
INSERT INTO public.fronts VALUES ('a89ece36', 3, '{"objectives":[{"metric":"cosine","direction":"max"},{"metric":"speedup","direction":"max"}],"hypervolume":{"value":0.061974176,"reference":{"cosine":0.9,"speedup":1.0}},"members":["3b36f5163891","c0e828f5b031","bc15e56357f8","fe308d84922c"],"tied_with":{},"nearest_miss":null,"fastest":"3b36f5163891","unconfirmed":{},"final":true}', '2026-11-29 02:12:58.813005+00');
INSERT INTO public.jobs VALUES ('a89ece36', 'an earlier search', 'done', '{"version":1,"name":"an earlier search","task":{"name":"digits","options":{"width":8}},"devices":[{"name":"dry-run","threads":1,"batch":1}],"objectives":[{"metric":"cosine","direction":"max","device":null,"aggregate":null},{"metric":"speedup","direction":"max","device":null,"aggregate":null}],"constraints":[],"space":{"precision":{"choices":["fp32","int8"]}},"recovery":{"epochs":10,"steps":null,"batch":64,"learning_rate":0.001,"warm_up":0.1,"weight_decay":0.01,"gradient_clip":null,"losses":{"task":{},"kl":{}},"patience":3,"evaluate_every":null,"halving":null,"precision":"auto","threads":null,"seed":0},"strategy":{"name":"random","options":{}},"budget":{"trials":6,"minutes":null,"batch":null,"parallel":1},"limits":{"training_s":3600.0,"exporting_s":600.0,"building_s":300.0,"measuring_s":300.0,"device_s":600.0,"memory_bytes":null,"gpus":0.0},"seed":0}', '/jobs', 'dry-run', '126e7f375e5ff2a6c958524c2ae5c5523c4f4572acf027ff672d74c7e8289fde', '{"decisions":[{"name":"precision:stem+blocks/blocks.0/conv2","choices":["fp32","int8"],"technique":"precision","target":"stem+blocks/blocks.0/conv2","scope":"layer","device":null},{"name":"precision:blocks/blocks.0/conv1","choices":["fp32","int8"],"technique":"precision","target":"blocks/blocks.0/conv1","scope":"layer","device":null},{"name":"precision:blocks/blocks.1/conv1","choices":["fp32","int8"],"technique":"precision","target":"blocks/blocks.1/conv1","scope":"layer","device":null},{"name":"precision:blocks/blocks.1/conv2+shortcut/shortcut.0","choices":["fp32","int8"],"technique":"precision","target":"blocks/blocks.1/conv2+shortcut/shortcut.0","scope":"layer","device":null},{"name":"precision:blocks/blocks.2/conv1","choices":["fp32","int8"],"technique":"precision","target":"blocks/blocks.2/conv1","scope":"layer","device":null},{"name":"precision:blocks/blocks.2/conv2+shortcut/shortcut.0","choices":["fp32","int8"],"technique":"precision","target":"blocks/blocks.2/conv2+shortcut/shortcut.0","scope":"layer","device":null},{"name":"precision:head","choices":["fp32","int8"],"technique":"precision","target":"head","scope":"layer","device":null}],"context":"f0429830881ae0fb33b54008e53c8abece85e61749a0c1118b015deac1d13973"}', '{"metrics":{"accuracy":0.97,"cosine":1.0,"latency_ms":{"p50":0.140704,"ci95":[0.139297,0.142111],"n":0},"speedup":{"ratio":1.0,"ci95":[1.0,1.0]},"size_bytes":78856,"peak_memory_bytes":157712,"bit_operations":3162832896},"facts":{"subject":"25d3187455c210364601557c4a20d28c74f49ff672bd83ea6b857713a291b0d6","model_path":"/cache/models/596bbdae5bacf7b76c5e21499f4925262bef94b6789fc87673183b4b093ab40b.onnx","model_sha256":"596bbdae5bacf7b76c5e21499f4925262bef94b6789fc87673183b4b093ab40b","groups":[{"name":"stem+blocks/blocks.0/conv2","nodes":["/stem/Conv","/blocks/blocks.0/conv2/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":663552,"weights":648,"values":25600,"written":16384},{"name":"blocks/blocks.0/conv1","nodes":["/blocks/blocks.0/conv1/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":589824,"weights":576,"values":16384,"written":8192},{"name":"blocks/blocks.1/conv1","nodes":["/blocks/blocks.1/conv1/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":294912,"weights":1152,"values":12288,"written":4096},{"name":"blocks/blocks.1/conv2+shortcut/shortcut.0","nodes":["/blocks/blocks.1/conv2/Conv","/blocks/blocks.1/shortcut/shortcut.0/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":622592,"weights":2432,"values":20480,"written":8192},{"name":"blocks/blocks.2/conv1","nodes":["/blocks/blocks.2/conv1/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":294912,"weights":4608,"values":6144,"written":2048},{"name":"blocks/blocks.2/conv2+shortcut/shortcut.0","nodes":["/blocks/blocks.2/conv2/Conv","/blocks/blocks.2/shortcut/shortcut.0/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":622592,"weights":9728,"values":10240,"written":4096},{"name":"head","nodes":["/head/Gemm"],"kind":"Gemm","precisions":["fp32","int8","int8_dynamic","int8_weight","int4_weight"],"macs":320,"weights":320,"values":42,"written":10}],"shared_split":false,"notes":[],"digests":{"model":"596bbdae5bacf7b76c5e21499f4925262bef94b6789fc87673183b4b093ab40b","data":"6407a4cd654d6113cdd868b70374cc4b11474cee18f6f3ee937bbc5d0741d602","task":"6407a4cd654d6113cdd868b70374cc4b11474cee18f6f3ee937bbc5d0741d602"},"coverage":{"layers":10,"decided":10,"decisions":7,"left_alone":[],"left_out":[],"unanswered":[]},"time_s":{"preparing":0.774,"searching":0.152,"confirming":0.005}}}', '{"_block":1}', NULL, NULL, '2026-11-29 02:12:57.841897+00', '2026-11-29 02:12:57.864744+00', '2026-11-29 02:12:58.819198+00', 0.9595887020041118, 1, NULL, NULL, '[{"device":"dry-run","profile_digest":"126e7f375e5ff2a6c958524c2ae5c5523c4f4572acf027ff672d74c7e8289fde"}]', NULL, false, 'local', 'default', 0, NULL, NULL, NULL, 0, 0, NULL, NULL);
INSERT INTO public.paretune_version VALUES ('0004');
INSERT INTO public.profiles VALUES ('126e7f375e5ff2a6c958524c2ae5c5523c4f4572acf027ff672d74c7e8289fde', '{"device":"dry-run","runtime":"null","runtime_version":"1","processor":"modelled","instruction_sets":[],"cores":[],"memory_bytes":0,"threads":1,"batch":1,"simulated":true,"runtimes":[],"machine":null,"gpu":null,"peaks":null,"agent":false,"core_type":""}', '2026-11-29 02:12:57.831461+00');
INSERT INTO public.projects VALUES ('default', '2026-11-29 02:12:57.726598+00');
INSERT INTO public.trial_counts VALUES ('a89ece36', 'done', 6);
INSERT INTO public.trials VALUES ('fe308d84922c', 'a89ece36', 0, 0, 'aefe9f73a32e6514ba5fa63a39d8333bd957f025d242bc9c09e7d226e58beead', '{"precision:stem+blocks/blocks.0/conv2":"fp32","precision:blocks/blocks.0/conv1":"fp32","precision:blocks/blocks.1/conv1":"fp32","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"fp32","precision:blocks/blocks.2/conv1":"fp32","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"fp32","precision:head":"fp32"}', 'random', true, 'done', NULL, '{"accuracy":0.97,"cosine":1.0,"latency_ms":{"p50":0.140704,"ci95":[0.139297,0.142111],"n":0},"speedup":{"ratio":1.003652,"ci95":[0.993616,1.013689]},"size_bytes":78856,"peak_memory_bytes":157712,"bit_operations":3162832896}', NULL, 0.008);
INSERT INTO public.trials VALUES ('b72adff8dbb6', 'a89ece36', 1, 0, 'bdb34bb1a2abef06f14e748cd50f86f47fc80c97b46166bf42f7811b6e484f94', '{"precision:stem+blocks/blocks.0/conv2":"int8","precision:blocks/blocks.0/conv1":"int8","precision:blocks/blocks.1/conv1":"int8","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"int8","precision:blocks/blocks.2/conv1":"int8","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"int8","precision:head":"int8"}', 'random', true, 'done', NULL, '{"accuracy":0.966252,"cosine":0.992503302,"latency_ms":{"p50":0.085922,"ci95":[0.085063,0.086781],"n":0},"speedup":{"ratio":1.643555,"ci95":[1.627119,1.65999]},"size_bytes":20464,"peak_memory_bytes":40928,"bit_operations":197677056}', NULL, 0.007);
INSERT INTO public.trials VALUES ('31fa289da02c', 'a89ece36', 2, 0, '1e11406b07801439f808c4f43852de9f8cb54d295d55ae210c5adb63144d995b', '{"precision:stem+blocks/blocks.0/conv2":"int8","precision:blocks/blocks.0/conv1":"int8","precision:blocks/blocks.1/conv1":"int8","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"fp32","precision:blocks/blocks.2/conv1":"fp32","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"fp32","precision:head":"fp32"}', 'random', true, 'done', NULL, '{"accuracy":0.967522,"cosine":0.995044356,"latency_ms":{"p50":0.112893,"ci95":[0.111765,0.114022],"n":0},"speedup":{"ratio":1.250893,"ci95":[1.238384,1.263402]},"size_bytes":71728,"peak_memory_bytes":143456,"bit_operations":1676476416}', NULL, 0.007);
INSERT INTO public.trials VALUES ('bc15e56357f8', 'a89ece36', 3, 0, '9a129ae4e8f0c714f3311124b89927fccc02bbe88e52cd3349242abc18af2376', '{"precision:stem+blocks/blocks.0/conv2":"fp32","precision:blocks/blocks.0/conv1":"fp32","precision:blocks/blocks.1/conv1":"int8","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"int8","precision:blocks/blocks.2/conv1":"int8","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"int8","precision:head":"int8"}', 'random', true, 'done', NULL, '{"accuracy":0.968626,"cosine":0.997252369,"latency_ms":{"p50":0.108607,"ci95":[0.10752,0.109693],"n":0},"speedup":{"ratio":1.300268,"ci95":[1.287266,1.313271]},"size_bytes":24136,"peak_memory_bytes":48272,"bit_operations":1400918016}', NULL, 0.007);
INSERT INTO public.trials VALUES ('3b36f5163891', 'a89ece36', 4, 0, 'ee10ff706fa46d530f0dae1a5292bb350e1c0cdfdd26ae31d9ebd5558c082688', '{"precision:stem+blocks/blocks.0/conv2":"int8","precision:blocks/blocks.0/conv1":"int8","precision:blocks/blocks.1/conv1":"int8","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"int8","precision:blocks/blocks.2/conv1":"int8","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"int8","precision:head":"fp32"}', 'random', true, 'done', NULL, '{"accuracy":0.967426,"cosine":0.994851137,"latency_ms":{"p50":0.085814,"ci95":[0.084956,0.086672],"n":0},"speedup":{"ratio":1.645631,"ci95":[1.629175,1.662087]},"size_bytes":21424,"peak_memory_bytes":42848,"bit_operations":197984256}', NULL, 0.007);
INSERT INTO public.trials VALUES ('c0e828f5b031', 'a89ece36', 5, 0, '3018ac07fee4194104c708be1dc38533c9ca8417774f7bdd41130e4394310b89', '{"precision:stem+blocks/blocks.0/conv2":"int8","precision:blocks/blocks.0/conv1":"int8","precision:blocks/blocks.1/conv1":"fp32","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"fp32","precision:blocks/blocks.2/conv1":"int8","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"int8","precision:head":"fp32"}', 'random', true, 'done', NULL, '{"accuracy":0.967458,"cosine":0.99491687,"latency_ms":{"p50":0.103412,"ci95":[0.102377,0.104446],"n":0},"speedup":{"ratio":1.365588,"ci95":[1.351933,1.379244]},"size_bytes":32176,"peak_memory_bytes":64352,"bit_operations":1078788096}', NULL, 0.007);
SELECT pg_catalog.setval('public.audit_id_seq', 1, false);
SELECT pg_catalog.setval('public.exports_id_seq', 1, false);
SELECT pg_catalog.setval('public.job_logs_id_seq', 1, false);
SELECT pg_catalog.setval('public.measurements_id_seq', 1, false);
ALTER TABLE ONLY public.paretune_version
    ADD CONSTRAINT paretune_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.agents
    ADD CONSTRAINT pk_agents PRIMARY KEY (device, board);
ALTER TABLE ONLY public.artefacts
    ADD CONSTRAINT pk_artefacts PRIMARY KEY (owner, sha256);
ALTER TABLE ONLY public.audit
    ADD CONSTRAINT pk_audit PRIMARY KEY (id);
ALTER TABLE ONLY public.capabilities
    ADD CONSTRAINT pk_capabilities PRIMARY KEY (profile_digest);
ALTER TABLE ONLY public.dependencies
    ADD CONSTRAINT pk_dependencies PRIMARY KEY (job_id, after_job_id);
ALTER TABLE ONLY public.devices
    ADD CONSTRAINT pk_devices PRIMARY KEY (name);
ALTER TABLE ONLY public.errands
    ADD CONSTRAINT pk_errands PRIMARY KEY (errand_id);
ALTER TABLE ONLY public.export_requests
    ADD CONSTRAINT pk_export_requests PRIMARY KEY (export_id);
ALTER TABLE ONLY public.exports
    ADD CONSTRAINT pk_exports PRIMARY KEY (id);
ALTER TABLE ONLY public.figures
    ADD CONSTRAINT pk_figures PRIMARY KEY (job_id, number, metric);
ALTER TABLE ONLY public.fronts
    ADD CONSTRAINT pk_fronts PRIMARY KEY (job_id, version);
ALTER TABLE ONLY public.job_logs
    ADD CONSTRAINT pk_job_logs PRIMARY KEY (id);
ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT pk_jobs PRIMARY KEY (job_id);
ALTER TABLE ONLY public.measurements
    ADD CONSTRAINT pk_measurements PRIMARY KEY (id);
ALTER TABLE ONLY public.members
    ADD CONSTRAINT pk_members PRIMARY KEY (project, user_name);
ALTER TABLE ONLY public.profiles
    ADD CONSTRAINT pk_profiles PRIMARY KEY (digest);
ALTER TABLE ONLY public.projects
    ADD CONSTRAINT pk_projects PRIMARY KEY (name);
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT pk_sessions PRIMARY KEY (sha256);
ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT pk_tokens PRIMARY KEY (token_id);
ALTER TABLE ONLY public.trial_counts
    ADD CONSTRAINT pk_trial_counts PRIMARY KEY (job_id, state);
ALTER TABLE ONLY public.trials
    ADD CONSTRAINT pk_trials PRIMARY KEY (candidate_id);
ALTER TABLE ONLY public.uploads
    ADD CONSTRAINT pk_uploads PRIMARY KEY (upload_id);
ALTER TABLE ONLY public.usage
    ADD CONSTRAINT pk_usage PRIMARY KEY (submitted_by);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT pk_users PRIMARY KEY (name);
ALTER TABLE ONLY public.workers
    ADD CONSTRAINT pk_workers PRIMARY KEY (worker_id);
ALTER TABLE ONLY public.agents
    ADD CONSTRAINT uq_agents_token_sha256 UNIQUE (token_sha256);
ALTER TABLE ONLY public.trials
    ADD CONSTRAINT uq_trials_job_id_digest UNIQUE (job_id, digest);
ALTER TABLE ONLY public.trials
    ADD CONSTRAINT uq_trials_job_id_number UNIQUE (job_id, number);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT uq_users_subject UNIQUE (subject);
CREATE INDEX ix_artefacts_sha256 ON public.artefacts USING btree (sha256);
CREATE INDEX ix_artefacts_used_at ON public.artefacts USING btree (used_at);
CREATE INDEX ix_audit_at ON public.audit USING btree (at);
CREATE INDEX ix_errands_device ON public.errands USING btree (device);
CREATE INDEX ix_export_requests_job_id ON public.export_requests USING btree (job_id);
CREATE INDEX ix_export_requests_state_created_at ON public.export_requests USING btree (state, created_at);
CREATE INDEX ix_exports_candidate_id ON public.exports USING btree (candidate_id);
CREATE INDEX ix_figures_job_id_metric_state ON public.figures USING btree (job_id, metric, state, value, number);
CREATE INDEX ix_job_logs_job_id ON public.job_logs USING btree (job_id);
CREATE INDEX ix_jobs_created_at_job_id ON public.jobs USING btree (created_at, job_id, submitted_by, project, state);
CREATE INDEX ix_jobs_name ON public.jobs USING btree (name);
CREATE INDEX ix_jobs_state_submitted_by ON public.jobs USING btree (state, submitted_by, priority, created_at);
CREATE INDEX ix_measurements_candidate_id ON public.measurements USING btree (candidate_id);
CREATE INDEX ix_measurements_job_id_id ON public.measurements USING btree (job_id, id);
CREATE INDEX ix_sessions_expires_at ON public.sessions USING btree (expires_at);
CREATE INDEX ix_tokens_user_name ON public.tokens USING btree (user_name);
CREATE INDEX ix_trials_job_id_state ON public.trials USING btree (job_id, state, number);
CREATE INDEX ix_uploads_owner ON public.uploads USING btree (owner);
CREATE UNIQUE INDEX uq_export_requests_submitted_by_idempotency_key ON public.export_requests USING btree (submitted_by, idempotency_key);
CREATE UNIQUE INDEX uq_jobs_submitted_by_idempotency_key ON public.jobs USING btree (submitted_by, idempotency_key);
ALTER TABLE ONLY public.agents
    ADD CONSTRAINT fk_agents_profile_digest FOREIGN KEY (profile_digest) REFERENCES public.profiles(digest);
ALTER TABLE ONLY public.capabilities
    ADD CONSTRAINT fk_capabilities_profile_digest FOREIGN KEY (profile_digest) REFERENCES public.profiles(digest);
ALTER TABLE ONLY public.dependencies
    ADD CONSTRAINT fk_dependencies_after_job_id FOREIGN KEY (after_job_id) REFERENCES public.jobs(job_id);
ALTER TABLE ONLY public.dependencies
    ADD CONSTRAINT fk_dependencies_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(job_id);
ALTER TABLE ONLY public.devices
    ADD CONSTRAINT fk_devices_profile_digest FOREIGN KEY (profile_digest) REFERENCES public.profiles(digest);
ALTER TABLE ONLY public.errands
    ADD CONSTRAINT fk_errands_profile_digest FOREIGN KEY (profile_digest) REFERENCES public.profiles(digest);
ALTER TABLE ONLY public.export_requests
    ADD CONSTRAINT fk_export_requests_candidate_id FOREIGN KEY (candidate_id) REFERENCES public.trials(candidate_id);
ALTER TABLE ONLY public.export_requests
    ADD CONSTRAINT fk_export_requests_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(job_id);
ALTER TABLE ONLY public.exports
    ADD CONSTRAINT fk_exports_candidate_id FOREIGN KEY (candidate_id) REFERENCES public.trials(candidate_id);
ALTER TABLE ONLY public.figures
    ADD CONSTRAINT fk_figures_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(job_id);
ALTER TABLE ONLY public.fronts
    ADD CONSTRAINT fk_fronts_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(job_id);
ALTER TABLE ONLY public.job_logs
    ADD CONSTRAINT fk_job_logs_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(job_id);
ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT fk_jobs_profile_digest FOREIGN KEY (profile_digest) REFERENCES public.profiles(digest);
ALTER TABLE ONLY public.measurements
    ADD CONSTRAINT fk_measurements_candidate_id FOREIGN KEY (candidate_id) REFERENCES public.trials(candidate_id);
ALTER TABLE ONLY public.members
    ADD CONSTRAINT fk_members_project FOREIGN KEY (project) REFERENCES public.projects(name);
ALTER TABLE ONLY public.members
    ADD CONSTRAINT fk_members_user_name FOREIGN KEY (user_name) REFERENCES public.users(name);
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT fk_sessions_token_id FOREIGN KEY (token_id) REFERENCES public.tokens(token_id);
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT fk_sessions_user_name FOREIGN KEY (user_name) REFERENCES public.users(name);
ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT fk_tokens_user_name FOREIGN KEY (user_name) REFERENCES public.users(name);
ALTER TABLE ONLY public.trial_counts
    ADD CONSTRAINT fk_trial_counts_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(job_id);
ALTER TABLE ONLY public.trials
    ADD CONSTRAINT fk_trials_job_id FOREIGN KEY (job_id) REFERENCES public.jobs(job_id);
