BEGIN TRANSACTION;
CREATE TABLE agents (
	device VARCHAR(255) NOT NULL, 
	token_sha256 VARCHAR(64) NOT NULL, 
	instance VARCHAR(64), 
	profile_digest VARCHAR(64), 
	offer JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	seen_at DATETIME, 
	revoked_at DATETIME, 
	CONSTRAINT pk_agents PRIMARY KEY (device), 
	CONSTRAINT uq_agents_token_sha256 UNIQUE (token_sha256), 
	CONSTRAINT fk_agents_profile_digest FOREIGN KEY(profile_digest) REFERENCES profiles (digest)
);
CREATE TABLE capabilities (
	profile_digest VARCHAR(64) NOT NULL, 
	record JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_capabilities PRIMARY KEY (profile_digest), 
	CONSTRAINT fk_capabilities_profile_digest FOREIGN KEY(profile_digest) REFERENCES profiles (digest)
);
CREATE TABLE devices (
	name VARCHAR(255) NOT NULL, 
	profile_digest VARCHAR(64) NOT NULL, 
	seen_at DATETIME NOT NULL, 
	CONSTRAINT pk_devices PRIMARY KEY (name), 
	CONSTRAINT fk_devices_profile_digest FOREIGN KEY(profile_digest) REFERENCES profiles (digest)
);
INSERT INTO "devices" VALUES('dry-run','126e7f375e5ff2a6c958524c2ae5c5523c4f4572acf027ff672d74c7e8289fde','2026-11-28 22:22:29.918569');
CREATE TABLE errands (
	errand_id VARCHAR(32) NOT NULL, 
	device VARCHAR(255) NOT NULL, 
	profile_digest VARCHAR(64) NOT NULL, 
	request JSON NOT NULL, 
	state VARCHAR(32) NOT NULL, 
	epoch INTEGER NOT NULL, 
	deaths INTEGER NOT NULL, 
	holder VARCHAR(64), 
	lease_until DATETIME, 
	result JSON, 
	created_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	CONSTRAINT pk_errands PRIMARY KEY (errand_id), 
	CONSTRAINT fk_errands_profile_digest FOREIGN KEY(profile_digest) REFERENCES profiles (digest)
);
CREATE TABLE exports (
	id INTEGER NOT NULL, 
	candidate_id VARCHAR(12) NOT NULL, 
	folder TEXT NOT NULL, 
	verdict TEXT NOT NULL, 
	receipt JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_exports PRIMARY KEY (id), 
	CONSTRAINT fk_exports_candidate_id FOREIGN KEY(candidate_id) REFERENCES trials (candidate_id)
);
CREATE TABLE fronts (
	job_id VARCHAR(8) NOT NULL, 
	version INTEGER NOT NULL, 
	front JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_fronts PRIMARY KEY (job_id, version), 
	CONSTRAINT fk_fronts_job_id FOREIGN KEY(job_id) REFERENCES jobs (job_id)
);
INSERT INTO "fronts" VALUES('6c807d36',1,'{"objectives":[{"metric":"cosine","direction":"max"},{"metric":"speedup","direction":"max"}],"hypervolume":{"value":0.0003652,"reference":{"cosine":0.9,"speedup":1.0}},"members":["a7bae1ab225a"],"tied_with":{},"nearest_miss":null,"fastest":"a7bae1ab225a","unconfirmed":{},"final":false}','2026-11-28 22:22:45.731539');
INSERT INTO "fronts" VALUES('6c807d36',2,'{"objectives":[{"metric":"cosine","direction":"max"},{"metric":"speedup","direction":"max"}],"hypervolume":{"value":0.061974176,"reference":{"cosine":0.9,"speedup":1.0}},"members":["24e0f3aeec92","a1825b226d7f","426f8a615b8f","a7bae1ab225a"],"tied_with":{},"nearest_miss":null,"fastest":"24e0f3aeec92","unconfirmed":{},"final":false}','2026-11-28 22:22:45.854005');
INSERT INTO "fronts" VALUES('6c807d36',3,'{"objectives":[{"metric":"cosine","direction":"max"},{"metric":"speedup","direction":"max"}],"hypervolume":{"value":0.061974176,"reference":{"cosine":0.9,"speedup":1.0}},"members":["24e0f3aeec92","a1825b226d7f","426f8a615b8f","a7bae1ab225a"],"tied_with":{},"nearest_miss":null,"fastest":"24e0f3aeec92","unconfirmed":{},"final":true}','2026-11-28 22:22:47.357067');
CREATE TABLE jobs (
	job_id VARCHAR(8) NOT NULL, 
	name TEXT NOT NULL, 
	state VARCHAR(32) NOT NULL, 
	spec JSON NOT NULL, 
	spec_folder TEXT NOT NULL, 
	device VARCHAR(255) NOT NULL, 
	profile_digest VARCHAR(64) NOT NULL, 
	space JSON, 
	baseline JSON, 
	strategy_state JSON, 
	error TEXT, 
	hint TEXT, 
	created_at DATETIME NOT NULL, 
	started_at DATETIME, 
	finished_at DATETIME, 
	wall_s FLOAT NOT NULL, 
	epoch INTEGER NOT NULL, 
	lease_owner JSON, 
	lease_until DATETIME, devices JSON, prediction JSON, 
	CONSTRAINT pk_jobs PRIMARY KEY (job_id), 
	CONSTRAINT fk_jobs_profile_digest FOREIGN KEY(profile_digest) REFERENCES profiles (digest)
);
INSERT INTO "jobs" VALUES('6c807d36','an earlier search','done','{"version":1,"name":"an earlier search","task":{"name":"digits","options":{"width":8}},"devices":[{"name":"dry-run","threads":1,"batch":1}],"objectives":[{"metric":"cosine","direction":"max","device":null,"aggregate":null},{"metric":"speedup","direction":"max","device":null,"aggregate":null}],"constraints":[],"space":{"precision":{"choices":["fp32","int8"]}},"recovery":{"epochs":10,"steps":null,"batch":64,"learning_rate":0.001,"warm_up":0.1,"weight_decay":0.01,"gradient_clip":null,"losses":{"task":{},"kl":{}},"patience":3,"evaluate_every":null,"halving":null,"precision":"auto","threads":null,"seed":0},"strategy":{"name":"random","options":{}},"budget":{"trials":6,"minutes":null,"batch":null,"parallel":1},"limits":{"training_s":3600.0,"exporting_s":600.0,"building_s":300.0,"measuring_s":300.0,"device_s":600.0,"memory_bytes":null},"seed":0}','/jobs','dry-run','126e7f375e5ff2a6c958524c2ae5c5523c4f4572acf027ff672d74c7e8289fde','{"decisions":[{"name":"precision:stem+blocks/blocks.0/conv2","choices":["fp32","int8"],"technique":"precision","target":"stem+blocks/blocks.0/conv2","scope":"layer","device":null},{"name":"precision:blocks/blocks.0/conv1","choices":["fp32","int8"],"technique":"precision","target":"blocks/blocks.0/conv1","scope":"layer","device":null},{"name":"precision:blocks/blocks.1/conv1","choices":["fp32","int8"],"technique":"precision","target":"blocks/blocks.1/conv1","scope":"layer","device":null},{"name":"precision:blocks/blocks.1/conv2+shortcut/shortcut.0","choices":["fp32","int8"],"technique":"precision","target":"blocks/blocks.1/conv2+shortcut/shortcut.0","scope":"layer","device":null},{"name":"precision:blocks/blocks.2/conv1","choices":["fp32","int8"],"technique":"precision","target":"blocks/blocks.2/conv1","scope":"layer","device":null},{"name":"precision:blocks/blocks.2/conv2+shortcut/shortcut.0","choices":["fp32","int8"],"technique":"precision","target":"blocks/blocks.2/conv2+shortcut/shortcut.0","scope":"layer","device":null},{"name":"precision:head","choices":["fp32","int8"],"technique":"precision","target":"head","scope":"layer","device":null}],"context":"f0429830881ae0fb33b54008e53c8abece85e61749a0c1118b015deac1d13973"}','{"metrics":{"accuracy":0.97,"cosine":1.0,"latency_ms":{"p50":0.140704,"ci95":[0.139297,0.142111],"n":0},"speedup":{"ratio":1.0,"ci95":[1.0,1.0]},"size_bytes":78856,"peak_memory_bytes":157712,"bit_operations":3162832896},"facts":{"subject":"25d3187455c210364601557c4a20d28c74f49ff672bd83ea6b857713a291b0d6","model_path":"/jobs/homeA/cache/models/596bbdae5bacf7b76c5e21499f4925262bef94b6789fc87673183b4b093ab40b.onnx","model_sha256":"596bbdae5bacf7b76c5e21499f4925262bef94b6789fc87673183b4b093ab40b","groups":[{"name":"stem+blocks/blocks.0/conv2","nodes":["/stem/Conv","/blocks/blocks.0/conv2/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":663552,"weights":648,"values":25600,"written":16384},{"name":"blocks/blocks.0/conv1","nodes":["/blocks/blocks.0/conv1/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":589824,"weights":576,"values":16384,"written":8192},{"name":"blocks/blocks.1/conv1","nodes":["/blocks/blocks.1/conv1/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":294912,"weights":1152,"values":12288,"written":4096},{"name":"blocks/blocks.1/conv2+shortcut/shortcut.0","nodes":["/blocks/blocks.1/conv2/Conv","/blocks/blocks.1/shortcut/shortcut.0/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":622592,"weights":2432,"values":20480,"written":8192},{"name":"blocks/blocks.2/conv1","nodes":["/blocks/blocks.2/conv1/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":294912,"weights":4608,"values":6144,"written":2048},{"name":"blocks/blocks.2/conv2+shortcut/shortcut.0","nodes":["/blocks/blocks.2/conv2/Conv","/blocks/blocks.2/shortcut/shortcut.0/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":622592,"weights":9728,"values":10240,"written":4096},{"name":"head","nodes":["/head/Gemm"],"kind":"Gemm","precisions":["fp32","int8","int8_dynamic","int8_weight","int4_weight"],"macs":320,"weights":320,"values":42,"written":10}],"shared_split":false,"notes":[],"digests":{"model":"596bbdae5bacf7b76c5e21499f4925262bef94b6789fc87673183b4b093ab40b","data":"6407a4cd654d6113cdd868b70374cc4b11474cee18f6f3ee937bbc5d0741d602","task":"6407a4cd654d6113cdd868b70374cc4b11474cee18f6f3ee937bbc5d0741d602"},"coverage":{"layers":10,"decided":10,"decisions":7,"left_alone":[],"left_out":[],"unanswered":[]},"time_s":{"preparing":4.067,"searching":13.217,"confirming":0.004}}}','{"_block":1}',NULL,NULL,'2026-11-28 22:22:29.932461','2026-11-28 22:22:30.055987','2026-11-28 22:22:47.361447',1.73097128689987584944e+01,1,NULL,NULL,'[{"device":"dry-run","profile_digest":"126e7f375e5ff2a6c958524c2ae5c5523c4f4572acf027ff672d74c7e8289fde"}]',NULL);
CREATE TABLE measurements (
	id INTEGER NOT NULL, 
	candidate_id VARCHAR(12) NOT NULL, 
	phase VARCHAR(32) NOT NULL, 
	record JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_measurements PRIMARY KEY (id), 
	CONSTRAINT fk_measurements_candidate_id FOREIGN KEY(candidate_id) REFERENCES trials (candidate_id)
);
CREATE TABLE paretune_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT paretune_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "paretune_version" VALUES('0002');
CREATE TABLE profiles (
	digest VARCHAR(64) NOT NULL, 
	data JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_profiles PRIMARY KEY (digest)
);
INSERT INTO "profiles" VALUES('126e7f375e5ff2a6c958524c2ae5c5523c4f4572acf027ff672d74c7e8289fde','{"device":"dry-run","runtime":"null","runtime_version":"1","processor":"modelled","instruction_sets":[],"cores":[],"memory_bytes":0,"threads":1,"batch":1,"simulated":true,"runtimes":[],"machine":null,"gpu":null,"peaks":null,"agent":false,"core_type":""}','2026-11-28 22:22:29.918569');
CREATE TABLE trials (
	candidate_id VARCHAR(12) NOT NULL, 
	job_id VARCHAR(8) NOT NULL, 
	number INTEGER NOT NULL, 
	block INTEGER NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	decisions JSON NOT NULL, 
	strategy VARCHAR(255) NOT NULL, 
	simulated BOOLEAN NOT NULL, 
	state VARCHAR(32) NOT NULL, 
	reason TEXT, 
	metrics JSON NOT NULL, 
	artifact_sha256 VARCHAR(64), 
	wall_s FLOAT NOT NULL, 
	CONSTRAINT pk_trials PRIMARY KEY (candidate_id), 
	CONSTRAINT fk_trials_job_id FOREIGN KEY(job_id) REFERENCES jobs (job_id), 
	CONSTRAINT uq_trials_job_id_number UNIQUE (job_id, number), 
	CONSTRAINT uq_trials_job_id_digest UNIQUE (job_id, digest)
);
INSERT INTO "trials" VALUES('a7bae1ab225a','6c807d36',0,0,'aefe9f73a32e6514ba5fa63a39d8333bd957f025d242bc9c09e7d226e58beead','{"precision:stem+blocks/blocks.0/conv2":"fp32","precision:blocks/blocks.0/conv1":"fp32","precision:blocks/blocks.1/conv1":"fp32","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"fp32","precision:blocks/blocks.2/conv1":"fp32","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"fp32","precision:head":"fp32"}','random',1,'done',NULL,'{"accuracy":0.97,"cosine":1.0,"latency_ms":{"p50":0.140704,"ci95":[0.139297,0.142111],"n":0},"speedup":{"ratio":1.003652,"ci95":[0.993616,1.013689]},"size_bytes":78856,"peak_memory_bytes":157712,"bit_operations":3162832896}',NULL,0.012);
INSERT INTO "trials" VALUES('495602e8d771','6c807d36',1,0,'bdb34bb1a2abef06f14e748cd50f86f47fc80c97b46166bf42f7811b6e484f94','{"precision:stem+blocks/blocks.0/conv2":"int8","precision:blocks/blocks.0/conv1":"int8","precision:blocks/blocks.1/conv1":"int8","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"int8","precision:blocks/blocks.2/conv1":"int8","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"int8","precision:head":"int8"}','random',1,'done',NULL,'{"accuracy":0.966252,"cosine":0.992503302,"latency_ms":{"p50":0.085922,"ci95":[0.085063,0.086781],"n":0},"speedup":{"ratio":1.643555,"ci95":[1.627119,1.65999]},"size_bytes":20464,"peak_memory_bytes":40928,"bit_operations":197677056}',NULL,0.007);
INSERT INTO "trials" VALUES('b9f5123bb4bd','6c807d36',2,0,'1e11406b07801439f808c4f43852de9f8cb54d295d55ae210c5adb63144d995b','{"precision:stem+blocks/blocks.0/conv2":"int8","precision:blocks/blocks.0/conv1":"int8","precision:blocks/blocks.1/conv1":"int8","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"fp32","precision:blocks/blocks.2/conv1":"fp32","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"fp32","precision:head":"fp32"}','random',1,'done',NULL,'{"accuracy":0.967522,"cosine":0.995044356,"latency_ms":{"p50":0.112893,"ci95":[0.111765,0.114022],"n":0},"speedup":{"ratio":1.250893,"ci95":[1.238384,1.263402]},"size_bytes":71728,"peak_memory_bytes":143456,"bit_operations":1676476416}',NULL,0.007);
INSERT INTO "trials" VALUES('426f8a615b8f','6c807d36',3,0,'9a129ae4e8f0c714f3311124b89927fccc02bbe88e52cd3349242abc18af2376','{"precision:stem+blocks/blocks.0/conv2":"fp32","precision:blocks/blocks.0/conv1":"fp32","precision:blocks/blocks.1/conv1":"int8","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"int8","precision:blocks/blocks.2/conv1":"int8","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"int8","precision:head":"int8"}','random',1,'done',NULL,'{"accuracy":0.968626,"cosine":0.997252369,"latency_ms":{"p50":0.108607,"ci95":[0.10752,0.109693],"n":0},"speedup":{"ratio":1.300268,"ci95":[1.287266,1.313271]},"size_bytes":24136,"peak_memory_bytes":48272,"bit_operations":1400918016}',NULL,0.007);
INSERT INTO "trials" VALUES('24e0f3aeec92','6c807d36',4,0,'ee10ff706fa46d530f0dae1a5292bb350e1c0cdfdd26ae31d9ebd5558c082688','{"precision:stem+blocks/blocks.0/conv2":"int8","precision:blocks/blocks.0/conv1":"int8","precision:blocks/blocks.1/conv1":"int8","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"int8","precision:blocks/blocks.2/conv1":"int8","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"int8","precision:head":"fp32"}','random',1,'done',NULL,'{"accuracy":0.967426,"cosine":0.994851137,"latency_ms":{"p50":0.085814,"ci95":[0.084956,0.086672],"n":0},"speedup":{"ratio":1.645631,"ci95":[1.629175,1.662087]},"size_bytes":21424,"peak_memory_bytes":42848,"bit_operations":197984256}',NULL,0.006);
INSERT INTO "trials" VALUES('a1825b226d7f','6c807d36',5,0,'3018ac07fee4194104c708be1dc38533c9ca8417774f7bdd41130e4394310b89','{"precision:stem+blocks/blocks.0/conv2":"int8","precision:blocks/blocks.0/conv1":"int8","precision:blocks/blocks.1/conv1":"fp32","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"fp32","precision:blocks/blocks.2/conv1":"int8","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"int8","precision:head":"fp32"}','random',1,'done',NULL,'{"accuracy":0.967458,"cosine":0.99491687,"latency_ms":{"p50":0.103412,"ci95":[0.102377,0.104446],"n":0},"speedup":{"ratio":1.365588,"ci95":[1.351933,1.379244]},"size_bytes":32176,"peak_memory_bytes":64352,"bit_operations":1078788096}',NULL,0.006);
CREATE INDEX ix_jobs_name ON jobs (name);
CREATE INDEX ix_measurements_candidate_id ON measurements (candidate_id);
CREATE INDEX ix_exports_candidate_id ON exports (candidate_id);
CREATE INDEX ix_errands_device ON errands (device);
COMMIT;
