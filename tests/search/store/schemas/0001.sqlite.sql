BEGIN TRANSACTION;
CREATE TABLE devices (
	name VARCHAR(255) NOT NULL, 
	profile_digest VARCHAR(64) NOT NULL, 
	seen_at DATETIME NOT NULL, 
	CONSTRAINT pk_devices PRIMARY KEY (name), 
	CONSTRAINT fk_devices_profile_digest FOREIGN KEY(profile_digest) REFERENCES profiles (digest)
);
INSERT INTO "devices" VALUES('dry-run','126e7f375e5ff2a6c958524c2ae5c5523c4f4572acf027ff672d74c7e8289fde','2026-11-28 22:19:08.957133');
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
INSERT INTO "fronts" VALUES('80de6785',1,'{"objectives":[{"metric":"cosine","direction":"max"},{"metric":"speedup","direction":"max"}],"hypervolume":{"value":0.0,"reference":{"cosine":0.9,"speedup":1.0}},"members":["13dcb3dbb876"],"tied_with":{},"nearest_miss":null,"final":false}','2026-11-28 22:19:34.226453');
INSERT INTO "fronts" VALUES('80de6785',2,'{"objectives":[{"metric":"cosine","direction":"max"},{"metric":"speedup","direction":"max"}],"hypervolume":{"value":0.061614139,"reference":{"cosine":0.9,"speedup":1.0}},"members":["db67202cabb2","ac8726af14ea","1d7f50905ece","13dcb3dbb876"],"tied_with":{},"nearest_miss":null,"final":false}','2026-11-28 22:19:34.358450');
INSERT INTO "fronts" VALUES('80de6785',3,'{"objectives":[{"metric":"cosine","direction":"max"},{"metric":"speedup","direction":"max"}],"hypervolume":{"value":0.061614139,"reference":{"cosine":0.9,"speedup":1.0}},"members":["db67202cabb2","ac8726af14ea","1d7f50905ece","13dcb3dbb876"],"tied_with":{},"nearest_miss":null,"final":true}','2026-11-28 22:19:36.093214');
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
	lease_until DATETIME, 
	CONSTRAINT pk_jobs PRIMARY KEY (job_id), 
	CONSTRAINT fk_jobs_profile_digest FOREIGN KEY(profile_digest) REFERENCES profiles (digest)
);
INSERT INTO "jobs" VALUES('80de6785','an earlier search','done','{"version":1,"name":"an earlier search","task":{"name":"digits","options":{"width":8}},"devices":[{"name":"dry-run","threads":1,"batch":1}],"objectives":[{"metric":"cosine","direction":"max"},{"metric":"speedup","direction":"max"}],"constraints":[],"space":{"precision":{"choices":["fp32","int8"]}},"strategy":{"name":"random","options":{}},"budget":{"trials":6,"minutes":null,"batch":null,"parallel":1},"limits":{"training_s":3600.0,"exporting_s":600.0,"building_s":300.0,"measuring_s":300.0,"memory_bytes":null},"seed":0}','/jobs','dry-run','126e7f375e5ff2a6c958524c2ae5c5523c4f4572acf027ff672d74c7e8289fde','{"decisions":[{"name":"precision:stem+blocks/blocks.0/conv2","choices":["fp32","int8"],"technique":"precision"},{"name":"precision:blocks/blocks.0/conv1","choices":["fp32","int8"],"technique":"precision"},{"name":"precision:blocks/blocks.1/conv1","choices":["fp32","int8"],"technique":"precision"},{"name":"precision:blocks/blocks.1/conv2+shortcut/shortcut.0","choices":["fp32","int8"],"technique":"precision"},{"name":"precision:blocks/blocks.2/conv1","choices":["fp32","int8"],"technique":"precision"},{"name":"precision:blocks/blocks.2/conv2+shortcut/shortcut.0","choices":["fp32","int8"],"technique":"precision"},{"name":"precision:head","choices":["fp32","int8"],"technique":"precision"}],"context":"c7bd2149b57962f9cd41b7e30e21d3925085a72ceaee03c89d3fcde22934cb51"}','{"metrics":{"accuracy":0.97,"cosine":1.0,"latency_ms":{"p50":0.141875,"ci95":[0.140457,0.143294],"n":0},"speedup":{"ratio":1.0,"ci95":[1.0,1.0]},"size_bytes":78856,"peak_memory_bytes":157712},"facts":{"subject":"34c768a1cd098f0d057f50a7de188e0b3c86b0e3f5451c86116b343626521f07","model_path":"/jobs/homeA/cache/models/34c768a1cd098f0d057f50a7de188e0b3c86b0e3f5451c86116b343626521f07.onnx","model_sha256":"596bbdae5bacf7b76c5e21499f4925262bef94b6789fc87673183b4b093ab40b","groups":[{"name":"stem+blocks/blocks.0/conv2","nodes":["/stem/Conv","/blocks/blocks.0/conv2/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":663552,"weights":648},{"name":"blocks/blocks.0/conv1","nodes":["/blocks/blocks.0/conv1/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":589824,"weights":576},{"name":"blocks/blocks.1/conv1","nodes":["/blocks/blocks.1/conv1/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":294912,"weights":1152},{"name":"blocks/blocks.1/conv2+shortcut/shortcut.0","nodes":["/blocks/blocks.1/conv2/Conv","/blocks/blocks.1/shortcut/shortcut.0/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":622592,"weights":2432},{"name":"blocks/blocks.2/conv1","nodes":["/blocks/blocks.2/conv1/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":294912,"weights":4608},{"name":"blocks/blocks.2/conv2+shortcut/shortcut.0","nodes":["/blocks/blocks.2/conv2/Conv","/blocks/blocks.2/shortcut/shortcut.0/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":622592,"weights":9728},{"name":"head","nodes":["/head/Gemm"],"kind":"Gemm","precisions":["fp32","int8","int8_dynamic","int8_weight","int4_weight"],"macs":320,"weights":320}],"shared_split":false}}','{}',NULL,NULL,'2026-11-28 22:19:08.983742','2026-11-28 22:19:09.027959','2026-11-28 22:19:36.102131',2.70769307189984829173e+01,1,NULL,NULL);
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
INSERT INTO "paretune_version" VALUES('0001');
CREATE TABLE profiles (
	digest VARCHAR(64) NOT NULL, 
	data JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_profiles PRIMARY KEY (digest)
);
INSERT INTO "profiles" VALUES('126e7f375e5ff2a6c958524c2ae5c5523c4f4572acf027ff672d74c7e8289fde','{"device":"dry-run","runtime":"null","runtime_version":"1","processor":"modelled","instruction_sets":[],"cores":[],"memory_bytes":0,"threads":1,"batch":1,"simulated":true}','2026-11-28 22:19:08.957133');
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
INSERT INTO "trials" VALUES('13dcb3dbb876','80de6785',0,0,'92ae734bd739a2f9627e9d24dd85e5f2d811676dae611d6163606086c51d8fe5','{"precision:stem+blocks/blocks.0/conv2":"fp32","precision:blocks/blocks.0/conv1":"fp32","precision:blocks/blocks.1/conv1":"fp32","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"fp32","precision:blocks/blocks.2/conv1":"fp32","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"fp32","precision:head":"fp32"}','random',1,'done',NULL,'{"accuracy":0.97,"cosine":1.0,"latency_ms":{"p50":0.141875,"ci95":[0.140457,0.143294],"n":0},"speedup":{"ratio":0.995364,"ci95":[0.98541,1.005318]},"size_bytes":78856,"peak_memory_bytes":157712}',NULL,0.0);
INSERT INTO "trials" VALUES('ae468bf31b10','80de6785',1,0,'b636fc542ecb3af99070c6deff36e5a3b110e255d20181ddcf2aae75e3d509eb','{"precision:stem+blocks/blocks.0/conv2":"int8","precision:blocks/blocks.0/conv1":"int8","precision:blocks/blocks.1/conv1":"int8","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"int8","precision:blocks/blocks.2/conv1":"int8","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"int8","precision:head":"int8"}','random',1,'done',NULL,'{"accuracy":0.966161,"cosine":0.992322759,"latency_ms":{"p50":0.086666,"ci95":[0.0858,0.087533],"n":0},"speedup":{"ratio":1.62944,"ci95":[1.613145,1.645734]},"size_bytes":20464,"peak_memory_bytes":40928}',NULL,0.0);
INSERT INTO "trials" VALUES('0cc44003b0c2','80de6785',2,0,'eab729e01788b13133e511dee2ff52f0056b00612e8e87cb89e4d6974b243c2f','{"precision:stem+blocks/blocks.0/conv2":"int8","precision:blocks/blocks.0/conv1":"int8","precision:blocks/blocks.1/conv1":"int8","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"fp32","precision:blocks/blocks.2/conv1":"fp32","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"fp32","precision:head":"fp32"}','random',1,'done',NULL,'{"accuracy":0.967512,"cosine":0.995023153,"latency_ms":{"p50":0.113928,"ci95":[0.112789,0.115067],"n":0},"speedup":{"ratio":1.239534,"ci95":[1.227139,1.251929]},"size_bytes":71728,"peak_memory_bytes":143456}',NULL,0.0);
INSERT INTO "trials" VALUES('1d7f50905ece','80de6785',3,0,'358445976b8b55b3be5d9196721f5c28b4e1b1adefeabe0c6c1bbb6f0ad91f30','{"precision:stem+blocks/blocks.0/conv2":"fp32","precision:blocks/blocks.0/conv1":"fp32","precision:blocks/blocks.1/conv1":"int8","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"int8","precision:blocks/blocks.2/conv1":"int8","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"int8","precision:head":"int8"}','random',1,'done',NULL,'{"accuracy":0.968631,"cosine":0.997261895,"latency_ms":{"p50":0.107709,"ci95":[0.106632,0.108786],"n":0},"speedup":{"ratio":1.311106,"ci95":[1.297995,1.324217]},"size_bytes":24136,"peak_memory_bytes":48272}',NULL,0.0);
INSERT INTO "trials" VALUES('db67202cabb2','80de6785',4,0,'137d3aedaab2b0db29f0f5b672616ad2dbb0873caf16cba3e968627c9112fbdb','{"precision:stem+blocks/blocks.0/conv2":"int8","precision:blocks/blocks.0/conv1":"int8","precision:blocks/blocks.1/conv1":"int8","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"int8","precision:blocks/blocks.2/conv1":"int8","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"int8","precision:head":"fp32"}','random',1,'done',NULL,'{"accuracy":0.967439,"cosine":0.994878056,"latency_ms":{"p50":0.086026,"ci95":[0.085166,0.086886],"n":0},"speedup":{"ratio":1.641573,"ci95":[1.625157,1.657988]},"size_bytes":21424,"peak_memory_bytes":42848}',NULL,0.001);
INSERT INTO "trials" VALUES('ac8726af14ea','80de6785',5,0,'a186eeaa3b1eb6df1a281b22efb2e5f1701b01de922db9d3748d54d842ebf084','{"precision:stem+blocks/blocks.0/conv2":"int8","precision:blocks/blocks.0/conv1":"int8","precision:blocks/blocks.1/conv1":"fp32","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"fp32","precision:blocks/blocks.2/conv1":"int8","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"int8","precision:head":"fp32"}','random',1,'done',NULL,'{"accuracy":0.967449,"cosine":0.994897199,"latency_ms":{"p50":0.102352,"ci95":[0.101329,0.103376],"n":0},"speedup":{"ratio":1.379721,"ci95":[1.365924,1.393518]},"size_bytes":32176,"peak_memory_bytes":64352}',NULL,0.0);
CREATE INDEX ix_jobs_name ON jobs (name);
CREATE INDEX ix_measurements_candidate_id ON measurements (candidate_id);
CREATE INDEX ix_exports_candidate_id ON exports (candidate_id);
COMMIT;
